/** How a piece of text stands out. */
export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan' | 'inverse';

/** Sets a piece of text off; the piece is one line without styles of its own. */
export type Paint = (style: Style, text: string) => string;

const codes: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  cyan: [36, 39],
  inverse: [7, 27],
};

export const plain: Paint = (_, text) => text;

export const coloured: Paint = (style, text) => {
  const [begin, end] = codes[style];
  return text === '' ? '' : `\u001b[${begin}m${text}\u001b[${end}m`;
};

/**
 * Colours where a terminal is that shows them, unless somebody asked for none.
 * @param isAsked false of `--no-color`
 */
export function paintFor(stream: { readonly isTTY?: boolean }, isAsked = true): Paint {
  return hasColours(stream, isAsked) ? coloured : plain;
}

export function hasColours(
  stream: { readonly isTTY?: boolean },
  isAsked: boolean,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  const { NO_COLOR: none = '', TERM: terminal } = environment;
  return stream.isTTY === true && isAsked && none === '' && terminal !== 'dumb';
}

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

const coloured: Paint = (style, text) => {
  const [begin, end] = codes[style];
  return text === '' ? '' : `\u001b[${begin}m${text}\u001b[${end}m`;
};

/**
 * Colours where a terminal is that shows them, unless somebody asked for none.
 * @param isAsked false of `--no-color`
 */
export function paintFor(
  stream: { readonly isTTY?: boolean },
  isAsked = true,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Paint {
  const { NO_COLOR: none = '', TERM: terminal } = environment;
  const isShown = stream.isTTY === true && isAsked && none === '' && terminal !== 'dumb';
  return isShown ? coloured : plain;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with the escape character
const styles = /\u001b\[\d+m/g;

/** The text as wide as it is shown. */
export function withoutStyles(text: string): string {
  return text.replaceAll(styles, '');
}

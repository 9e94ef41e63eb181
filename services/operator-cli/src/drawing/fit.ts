// biome-ignore lint/suspicious/noControlCharactersInRegex: styles begin with the escape character
const style = /(\u001b\[\d+m)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what a name from outside might hold
const unprintable = /[\u0000-\u001f\u007f-\u009f]/g;

/** The line as far as `width` columns go; styles that were begun end. */
export function fit(line: string, width: number): string {
  let left = width;
  return line
    .split(style)
    .map((part, index) => {
      if (index % 2 === 1) return part;
      const characters = [...part];
      const shown = characters.slice(0, left);
      left -= shown.length;
      return shown.join('');
    })
    .join('');
}

/** Text from outside in one line: it moves no cursor and sets no colour. */
export function oneLine(text: string): string {
  return text.replaceAll(unprintable, ' ');
}

/** A value whose texts, at any depth, each fit into one line: for what others wrote, before it is shown. */
export function printable<T>(value: T): T {
  return printableOf(value) as T;
}

function printableOf(value: unknown): unknown {
  if (typeof value === 'string') return oneLine(value);
  if (Array.isArray(value)) return value.map(printableOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, of]) => [oneLine(name), printableOf(of)]),
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: styles begin with the escape character
const styles = /\u001b\[\d+m/g;

/** The text as wide as it is shown. */
export function withoutStyles(text: string): string {
  return text.replaceAll(styles, '');
}

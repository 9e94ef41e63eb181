/** Words of a command line after `isobar`, as a shell would split it, up to a pipe or redirection. */
export function wordsOf(line: string): string[] {
  const command = /\$\((.*)\)/.exec(line)?.[1] ?? line;
  const words = command.match(/'[^']*'|[^\s']+/g) ?? [];
  const end = words.findIndex((word) => word === '>' || word === '|');
  const own = end < 0 ? words : words.slice(0, end);
  return own.slice(1).map((word) => word.replaceAll("'", ''));
}

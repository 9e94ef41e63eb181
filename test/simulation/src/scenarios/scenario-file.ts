/** One command of a scenario, with what is written above it and what is expected of it. */
export interface ScenarioBlock {
  /** Lines that begin with `#`, as they stand. */
  readonly comments: readonly string[];
  readonly command: string;
  readonly expected: readonly string[];
}

const separator = '----';

/**
 * Reads a scenario: blocks of comments, a command, a line of dashes, and the lines that running it
 * adds to the transcript, up to an empty line.
 * @throws Error naming the line
 */
export function parseScenario(text: string): ScenarioBlock[] {
  const blocks: ScenarioBlock[] = [];
  const lines = text.split('\n');
  let at = 0;
  while (at < lines.length) {
    const comments: string[] = [];
    while (lines[at]?.startsWith('#') === true || lines[at] === '') {
      if (lines[at] !== '') comments.push(lines[at] ?? '');
      at += 1;
    }
    if (at >= lines.length) break;
    const command = lines[at] ?? '';
    at += 1;
    // A command that was written by hand has nothing below it yet.
    const expected: string[] = [];
    if (lines[at] === separator) {
      for (at += 1; at < lines.length && lines[at] !== ''; at += 1) expected.push(lines[at] ?? '');
    } else if (at < lines.length && lines[at] !== '') {
      throw new Error(`line ${at + 1}: after a command comes ${separator} or an empty line`);
    }
    blocks.push({ comments, command, expected });
  }
  return blocks;
}

export function formatScenario(blocks: readonly ScenarioBlock[]): string {
  const parts = blocks.map(({ comments, command, expected }) =>
    [...comments, command, separator, ...expected].join('\n'),
  );
  return `${parts.join('\n\n')}\n`;
}

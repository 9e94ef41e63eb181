import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { addDemo } from '../../services/operator-cli/src/demo/demo-command.js';
import { pathOf } from '../../services/operator-cli/src/help/format-help.js';
import { createProgram } from '../../services/operator-cli/src/program.js';
import { leaves, recording } from '../../services/operator-cli/test/support/recording-program.js';
import { wordsOf } from '../../services/operator-cli/test/support/words.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const operations = readFileSync(`${root}/docs/OPERATIONS.md`, 'utf8');
const paths = leaves(createProgram([addDemo])).map(pathOf);

/** Lines of shell blocks that run `isobar`, without the comment that follows some. */
function commandLines(text: string): string[] {
  return [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].flatMap(([, block = '']) =>
    block
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, '').replace(/^\s*npx --no-install /, ''))
      .map((line) => line.trim())
      .filter((line) => line.startsWith('isobar ')),
  );
}

/** `isobar …` within a sentence or a table; its name alone, or with `COMMAND`, is no command line. */
function inlineCommands(text: string): string[] {
  const prose = text.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...prose.matchAll(/`(isobar [^`]+)`/g)]
    .flatMap(([, line]) => line ?? [])
    .filter((line) => !line.includes('COMMAND'));
}

const documents = ['README.md', 'docs/OPERATIONS.md'];
const lines = documents.flatMap((name) => {
  const text = readFileSync(`${root}/${name}`, 'utf8');
  return [...commandLines(text), ...inlineCommands(text)].map((line) => [name, line] as const);
});

describe('a command line', () => {
  it('is found in each document', () => {
    for (const name of documents) expect(lines.some(([of]) => of === name)).toBe(true);
  });

  it.each(lines)('of %s is taken: %s', async (_name, line) => {
    const called: string[] = [];
    const words = wordsOf(line);
    const program = recording(called);
    for (const command of [program, ...leaves(program)]) {
      command.configureOutput({ writeOut: () => {}, writeErr: () => {} });
    }
    const parsed = program.parseAsync(words, { from: 'user' });
    if (words.includes('--help')) {
      await expect(parsed).rejects.toMatchObject({ code: 'commander.helpDisplayed' });
      return;
    }
    await parsed;
    expect(paths).toContain(called[0]);
  });
});

function alarmsRaised(): string[] {
  const sources = ['packages/protocol', 'services/coordinator', 'services/rank-agent'];
  const text = sources
    .flatMap((folder) =>
      readdirSync(`${root}/${folder}/src`, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => readFileSync(`${root}/${folder}/src/${path}`, 'utf8')),
    )
    .join('\n');
  const raised = [...text.matchAll(/\balarm(?::\s*|\(\s*step,\s*)'([a-z-]+)'/g)];
  const named = [...text.matchAll(/type \w*Alarm =([^;]*);/g)].flatMap(([, union = '']) => [
    ...union.matchAll(/'([a-z-]+)'/g),
  ]);
  return [...new Set([...raised, ...named].flatMap(([, alarm]) => alarm ?? []))].sort();
}

describe('the tables of alarms', () => {
  it('have a row for each that the sources raise, and for no other', () => {
    const section = operations.split(/^## /m).find((text) => text.startsWith('Alarms')) ?? '';
    const listed = [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].flatMap(
      ([, alarm]) => alarm ?? [],
    );
    expect(listed.sort()).toEqual(alarmsRaised());
  });
});

import { describe, expect, it } from 'vitest';
import { addDemo } from '../src/demo/demo-command.js';
import { pathOf } from '../src/help/format-help.js';
import { manuals } from '../src/help/manuals.js';
import { createProgram } from '../src/program.js';
import { leaves, recording } from './support/recording-program.js';
import { wordsOf } from './support/words.js';

const paths = leaves(createProgram([addDemo])).map(pathOf);

describe('the manual', () => {
  it('has a page for each command, and for no other', () => {
    expect(Object.keys(manuals).sort()).toEqual([...paths].sort());
  });

  const examples = paths.flatMap((path) =>
    (manuals[path]?.examples ?? []).map(({ line }) => [path, line] as const),
  );

  it.each(paths)('has an example of %s', (path) => {
    expect(examples.some(([of]) => of === path)).toBe(true);
  });

  it.each(examples)('of %s has an example that is taken: %s', async (path, line) => {
    const called: string[] = [];
    await recording(called).parseAsync(wordsOf(line), { from: 'user' });
    expect(called).toEqual([path]);
  });

  it.each(paths)('of %s names only commands that there are', (path) => {
    const named = (manuals[path]?.seeAlso ?? []).filter((other) => !/[./]/.test(other));
    for (const other of named) expect(paths).toContain(other);
  });

  it.each(paths)('of %s is laid out as such', async (path) => {
    let text = '';
    const program = createProgram([addDemo]).configureOutput({
      writeOut: (part) => (text += part),
    });
    for (const command of leaves(program)) {
      command.configureOutput({ writeOut: (part) => (text += part) });
    }
    const asked = program.parseAsync([...path.split(' '), '--help'], { from: 'user' });
    await expect(asked).rejects.toMatchObject({ code: 'commander.helpDisplayed' });
    for (const title of ['SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'EXIT CODES', 'EXAMPLES']) {
      expect(text).toMatch(new RegExp(`^${title}$`, 'm'));
    }
    expect(text).not.toContain('default: false');
    for (const line of text.split('\n')) {
      const isExample = line.includes('isobar ') && !line.includes('(');
      if (!isExample) expect(line.length).toBeLessThanOrEqual(100);
    }
  });
});

describe('every command that changes something', () => {
  it('can be looked at first, be said yes to, and be waited for', () => {
    const changing = leaves(createProgram([addDemo])).filter(({ options }) =>
      options.some(({ long }) => long === '--dry-run'),
    );
    for (const { options } of changing) {
      const flags = options.map(({ long }) => long);
      expect(flags).toEqual(
        expect.arrayContaining(['--yes', '--wait', '--no-wait', '--request-id']),
      );
    }
    expect(changing.map(pathOf)).toEqual(
      expect.arrayContaining(['mode', 'pause', 'drain', 'rollback', 'import', 'declare-dead']),
    );
  });
});

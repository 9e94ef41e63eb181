import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runScenario } from './dist/scenarios/scenario.js';

const folder = fileURLToPath(new URL('scenarios', import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));

describe('the story of', () => {
  it.each(files)('%s goes as it is written', async (file) => {
    const path = join(folder, file);
    await expect(runScenario(readFileSync(path, 'utf8'))).toMatchFileSnapshot(path);
  });
});

describe('a scenario', () => {
  it('with a command that does not exist, or waits in vain, fails', () => {
    expect(() => runScenario('group ranks=3\n\ndance\n')).toThrow('no such command: dance');
    expect(() => runScenario('group ranks=3\n\nwait created 7\n')).toThrow('waited in vain');
  });
});

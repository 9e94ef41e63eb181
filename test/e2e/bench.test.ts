import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../bench/dist/main.js', import.meta.url));

describe('npm run bench', () => {
  it.each([[[]], [['no-such-bench']]])('with %j lists what there is, and ends with 2', (args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('npm run bench -- NAME');
    expect(stderr).toMatch(/^ {2}placement {3}/m);
  });
});

import { readFile } from 'node:fs/promises';
import { softwareVersion } from '@isobar/protocol';
import { expect, it } from 'vitest';

it('tells operators the version that its packages have', async () => {
  for (const folder of ['.', 'packages/protocol', 'services/operator-cli']) {
    const path = new URL(`../../${folder}/package.json`, import.meta.url);
    expect(JSON.parse(await readFile(path, 'utf8')).version).toBe(softwareVersion);
  }
});

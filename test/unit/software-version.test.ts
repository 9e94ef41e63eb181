import { readFile } from 'node:fs/promises';
import { softwareVersion } from '@isobar/protocol';
import { expect, it } from 'vitest';

it('tells operators the version that its packages have', async () => {
  for (const folder of ['.', 'packages/protocol', 'services/operator-cli']) {
    const path = new URL(`../../${folder}/package.json`, import.meta.url);
    expect(JSON.parse(await readFile(path, 'utf8')).version).toBe(softwareVersion);
  }
  const dockerfile = new URL('../../deploy/docker/Dockerfile', import.meta.url);
  const defaults = [...(await readFile(dockerfile, 'utf8')).matchAll(/^ARG VERSION=(.*)$/gm)];
  expect(new Set(defaults.map(([, version]) => version))).toEqual(new Set([softwareVersion]));
});

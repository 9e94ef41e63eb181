import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

it('npm test runs every project of vitest.config.ts', async () => {
  const configuration = await read('vitest.config.ts');
  const projects = [...configuration.matchAll(/name: '(\w+)'/g)].map(([, name]) => name);
  const calls = [...(await read('scripts/test.js')).matchAll(/vitest\(([^)]*)\)/g)];
  const run = calls.flatMap(([, list]) => [...(list ?? '').matchAll(/'(\w+)'/g)]);
  expect(run.map(([, name]) => name).sort()).toEqual(projects.sort());
});

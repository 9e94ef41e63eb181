import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { options, otherVariables } from '@isobar/configuration';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Not codes: names of environment variables. */
const variables = new Set([...options.map(({ variable }) => variable), ...otherVariables]);

function sources(): string[] {
  return ['packages', 'services'].flatMap((folder) =>
    readdirSync(`${root}/${folder}`).flatMap((name) => {
      const source = `${root}/${folder}/${name}/src`;
      return readdirSync(source, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => readFileSync(`${source}/${path}`, 'utf8'));
    }),
  );
}

function codesIn(text: string, quote: RegExp): Set<string> {
  return new Set([...text.matchAll(quote)].flatMap(([, code]) => code ?? []));
}

describe('docs/errors.md', () => {
  it('lists every code in the sources, and no other', () => {
    const used = codesIn(sources().join('\n'), /'(ISOBAR_[A-Z_]+)'/g);
    const listed = codesIn(
      readFileSync(`${root}/docs/errors.md`, 'utf8'),
      /^\| `(ISOBAR_[A-Z_]+)` \|/gm,
    );
    const codes = [...used].filter((name) => !variables.has(name)).sort();
    expect([...listed].sort()).toEqual(codes);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLines } from '../src/trace-lines.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-trace-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function fileOf(content: string | Buffer): Promise<string> {
  const path = join(folder, 'lines');
  await writeFile(path, content);
  return path;
}

describe('readLines', () => {
  async function read(path: string, limits: { fileBytes: number; lineBytes: number }) {
    const found = [];
    for await (const line of readLines(path, limits)) found.push(line);
    return found;
  }

  it('counts empty lines and needs no newline at the end', async () => {
    const path = await fileOf('a\n\r\n\nb');
    expect(await read(path, { fileBytes: 100, lineBytes: 100 })).toEqual([
      { line: 1, text: 'a' },
      { line: 4, text: 'b' },
    ]);
  });

  it('joins a line that spans chunks', async () => {
    const long = 'x'.repeat(300_000);
    const path = await fileOf(`${long}\n${long}y\n`);
    const found = await read(path, { fileBytes: 1e6, lineBytes: 1e6 });
    expect(found.map(({ text }) => text)).toEqual([long, `${long}y`]);
  });

  it('refuses a file or a line past its limit, counted uncompressed', async () => {
    const path = await fileOf(gzipSync('x'.repeat(500_000)));
    await expect(read(path, { fileBytes: 400_000, lineBytes: 1e6 })).rejects.toMatchObject({
      code: 'ISOBAR_TRACE_SIZES',
      fields: { file: path, field: 'file', limitBytes: 400_000 },
    });
    await expect(read(path, { fileBytes: 1e6, lineBytes: 400_000 })).rejects.toMatchObject({
      code: 'ISOBAR_TRACE_SIZES',
      fields: { file: path, field: 'line', limitBytes: 400_000 },
    });
  });
});

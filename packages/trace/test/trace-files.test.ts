import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { generateTrace, readTrace, type Trace, TraceError, writeTrace } from '@isobar/trace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-trace-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

let files = 0;
async function fileOf(content: string | Buffer): Promise<string> {
  files += 1;
  const path = join(folder, `${files}.jsonl`);
  await writeFile(path, content);
  return path;
}

const lines = (...rows: readonly unknown[]) =>
  rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n');

async function refused(run: Promise<unknown>): Promise<TraceError> {
  try {
    await run;
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

const tokenHeader = {
  format: 'token-trace',
  version: 1,
  model: 'm',
  layers: 2,
  experts: 4,
  topK: 2,
  tokensPerStep: 2,
};
const loadHeader = { ...tokenHeader, format: 'load-trace' };

/** One sequence; each token is its experts, layer after layer. */
function sequence(number: number, ...tokens: readonly number[][]) {
  const experts = Buffer.from(tokens.flat()).toString('base64');
  return { sequence: number, tokens: tokens.length, experts };
}

describe('a token trace', () => {
  it('is cut into steps across sequences; a last short step is none', async () => {
    const path = await fileOf(
      lines(
        { ...tokenHeader, source: 'anywhere' },
        sequence(0, [0, 1, 2, 3], [0, 2, 0, 1], [1, 2, 3, 0]),
        '',
        sequence(1, [3, 1, 2, 0], [0, 1, 2, 3]),
      ),
    );
    const trace = await readTrace(path);
    expect(trace.header).toEqual({ model: 'm', numLayers: 2, numExperts: 4, topK: 2 });
    expect([trace.numSteps, trace.numTokens(1)]).toEqual([2, 2]);
    expect(Array.from(trace.tokens(1))).toEqual([1, 2, 3, 0, 3, 1, 2, 0]);
    expect(Array.from(trace.loads(0))).toEqual([2, 1, 1, 0, 1, 1, 1, 1]);
    expect([...trace.sequences(0), ...trace.sequences(1)]).toEqual([0, 0, 0, 1]);
    expect(() => trace.sequences(2)).toThrow(TraceError);
  });

  it('has steps of 64 positions where its header says nothing', async () => {
    const { tokensPerStep: _, ...header } = tokenHeader;
    const tokens = Array.from({ length: 65 }, () => [0, 1, 2, 3]);
    const trace = await readTrace(await fileOf(lines(header, sequence(0, ...tokens))));
    expect([trace.numSteps, trace.numTokens(0)]).toEqual([1, 64]);
  });

  it('reads gzip by its content, whatever the name', async () => {
    const text = lines(tokenHeader, sequence(0, [0, 1, 2, 3], [0, 2, 0, 1]));
    const trace = await readTrace(await fileOf(gzipSync(text)));
    expect(trace.numSteps).toBe(1);
  });

  it.each<[string, string, number, unknown[]]>([
    ['experts', 'an expert out of range', 2, [sequence(0, [0, 1, 2, 4])]],
    ['experts', 'an expert twice', 2, [sequence(0, [0, 1, 2, 2])]],
    ['experts', 'too few bytes', 2, [{ ...sequence(0, [0, 1, 2]), tokens: 1 }]],
    ['experts', 'no base64', 2, [{ sequence: 0, tokens: 1, experts: '!!!!!!==' }]],
    ['experts', 'padding for bytes', 2, [{ sequence: 0, tokens: 1, experts: 'AAECAwA=' }]],
    ['experts', 'no string', 2, [{ sequence: 0, tokens: 1, experts: [0, 1, 2, 3] }]],
    ['tokens', 'no tokens', 2, [{ sequence: 0, tokens: 0, experts: '' }]],
    ['sequence', 'a gap', 3, [sequence(0, [0, 1, 2, 3]), sequence(2, [0, 1, 2, 3])]],
  ])('refuses in %s: %s', async (field, _, line, rows) => {
    const path = await fileOf(lines(tokenHeader, ...rows));
    const error = await refused(readTrace(path));
    expect(error.code).toBe('ISOBAR_TRACE_INVALID');
    expect(error.fields).toMatchObject({ file: path, line, field });
    expect(error.message).toContain(`${path}:${line}: ${field}`);
  });

  it('names token, layer and expert of a wrong choice', async () => {
    const path = await fileOf(lines(tokenHeader, sequence(0, [0, 1, 2, 3], [0, 1, 3, 9])));
    expect((await refused(readTrace(path))).fields).toMatchObject({
      token: 1,
      layer: 1,
      expert: 9,
    });
  });

  it('refuses a trace shorter than one step', async () => {
    const path = await fileOf(lines(tokenHeader, sequence(0, [0, 1, 2, 3])));
    expect((await refused(readTrace(path))).fields).toEqual({ file: path, field: 'steps' });
  });
});

describe('a load trace', () => {
  const loads = (...rows: readonly number[][]) => ({ step: 0, loads: rows });

  it('keeps its counts and lays tokens out that have them', async () => {
    const row = loads([2, 1, 1, 0], [0, 0, 1, 0]);
    const trace = await readTrace(await fileOf(lines(loadHeader, row)));
    expect(Array.from(trace.loads(0))).toEqual([2, 1, 1, 0, 0, 0, 1, 0]);
    expect(Array.from(trace.tokens(0))).toEqual([0, 1, 2, -1, 0, 2, -1, -1]);
    expect(Array.from(trace.sequences(0))).toEqual([-1, -1]);
    expect([trace.numSteps, trace.numTokens(0)]).toEqual([1, 2]);
  });

  it.each<[string, Record<string, number>, unknown]>([
    ['loads', {}, loads([2, 1, 1, 0])],
    ['loads.1', { layer: 1 }, loads([2, 1, 1, 0], [1, 1, 1])],
    ['loads.1.2', { layer: 1, expert: 2 }, loads([2, 1, 1, 0], [0, 0, 3, 0])],
    ['loads.0.0', { layer: 0, expert: 0 }, loads([-1, 1, 1, 0], [0, 0, 3, 0])],
    ['loads.0.1', { layer: 0, expert: 1 }, loads([1, 0.5, 1, 0], [0, 0, 1, 0])],
    ['loads.1', { layer: 1 }, loads([2, 1, 1, 0], [2, 2, 1, 0])],
    ['step', {}, { step: 1, loads: [] }],
  ])('refuses wrong %s, %j', async (field, where, row) => {
    const path = await fileOf(lines(loadHeader, row));
    const error = await refused(readTrace(path));
    expect(error.code).toBe('ISOBAR_TRACE_INVALID');
    expect(error.fields).toMatchObject({ file: path, line: 2, field, ...where });
  });

  it('refuses to be without steps, or of steps past the limit', async () => {
    const none = await fileOf(lines(loadHeader));
    expect((await refused(readTrace(none))).code).toBe('ISOBAR_TRACE_INVALID');
    const wide = { ...loadHeader, layers: 1024, experts: 64, topK: 64, tokensPerStep: 1_048_576 };
    const error = await refused(readTrace(await fileOf(lines(wide))));
    expect([error.code, error.fields.field]).toEqual(['ISOBAR_TRACE_SIZES', 'tokensPerStep']);
  });
});

describe('readTrace', () => {
  it.each<[string, unknown]>([
    ['format', { ...tokenHeader, format: 'load-matrix' }],
    ['version', { ...tokenHeader, version: 2 }],
    ['model', { ...tokenHeader, model: '' }],
    ['layers', { ...tokenHeader, layers: 0 }],
    ['experts', { ...tokenHeader, experts: 257 }],
    ['experts', { ...loadHeader, experts: 32_768 }],
    ['topK', { ...tokenHeader, topK: 5 }],
    ['tokensPerStep', { ...loadHeader, tokensPerStep: undefined }],
    ['', '{"format": '],
    ['', '[]'],
  ])('refuses a header with wrong %s', async (field, header) => {
    const path = await fileOf(lines(header, sequence(0, [0, 1, 2, 3])));
    const error = await refused(readTrace(path));
    expect(error.code).toBe('ISOBAR_TRACE_FORMAT');
    expect(error.fields).toMatchObject({ file: path, line: 1, field });
  });

  it('refuses an empty file', async () => {
    expect((await refused(readTrace(await fileOf('')))).code).toBe('ISOBAR_TRACE_FORMAT');
  });

  it('says what it could not read, and why', async () => {
    const missing = join(folder, 'missing.jsonl');
    const error = await refused(readTrace(missing));
    expect([error.code, error.fields.file]).toEqual(['ISOBAR_TRACE_UNREADABLE', missing]);
    expect(error.cause).toMatchObject({ code: 'ENOENT' });
    expect((await refused(readTrace(folder))).code).toBe('ISOBAR_TRACE_UNREADABLE');
  });

  it('refuses gzip that is cut off or damaged', async () => {
    const rows = Array.from({ length: 50 }, (_, number) => sequence(number, [0, 1, 2, 3]));
    const whole = gzipSync(lines(tokenHeader, ...rows));
    const cut = await refused(readTrace(await fileOf(whole.subarray(0, whole.length - 20))));
    expect(cut.code).toBe('ISOBAR_TRACE_UNREADABLE');
    whole.fill(0x5a, 40, 80);
    const damaged = await refused(readTrace(await fileOf(whole)));
    expect(damaged.code).toBe('ISOBAR_TRACE_UNREADABLE');
  });
});

describe('writeTrace', () => {
  const options = {
    seed: 2,
    numLayers: 3,
    numExperts: 256,
    topK: 5,
    tokensPerStep: 7,
    numSteps: 4,
  };

  it.each(['plain.jsonl', 'packed.jsonl.gz'])(
    'writes what readTrace reads back: %s',
    async (name) => {
      const path = join(folder, name);
      const trace = generateTrace(options);
      await writeTrace(path, trace);
      const read = await readTrace(path);
      expect(read.header).toEqual(trace.header);
      expect([read.numSteps, read.numTokens(0)]).toEqual([4, 7]);
      for (let step = 0; step < 4; step += 1) {
        expect(read.tokens(step)).toEqual(trace.tokens(step));
        expect(read.loads(step)).toEqual(trace.loads(step));
      }
      const bytes = await readFile(path);
      const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
      expect(text.split('\n')).toHaveLength(6);
    },
  );

  it('refuses what the format can not hold', async () => {
    const path = join(folder, 'refused.jsonl');
    const many = generateTrace({ ...options, numExperts: 257 });
    expect((await refused(writeTrace(path, many))).fields.field).toBe('numExperts');
    const sparse = await readTrace(
      await fileOf(
        lines(loadHeader, {
          step: 0,
          loads: [
            [1, 0, 0, 0],
            [1, 0, 0, 0],
          ],
        }),
      ),
    );
    const error = await refused(writeTrace(path, sparse));
    expect([error.code, error.fields.field]).toEqual(['ISOBAR_TRACE_SIZES', 'tokens']);
    const whole = generateTrace(options);
    const uneven: Trace = {
      header: whole.header,
      numSteps: 4,
      numTokens: (step) => (step === 3 ? 6 : 7),
      tokens: (step) => whole.tokens(step),
      sequences: (step) => whole.sequences(step),
      loads: (step) => whole.loads(step),
    };
    expect((await refused(writeTrace(path, uneven))).fields).toMatchObject({ step: 3 });
    expect((await refused(writeTrace(path, { ...uneven, numSteps: 0 }))).fields.field).toBe(
      'numSteps',
    );
  });

  it('says where it could not write', async () => {
    const path = join(folder, 'no', 'such', 'folder.jsonl');
    const error = await refused(writeTrace(path, generateTrace(options)));
    expect([error.code, error.fields.file]).toEqual(['ISOBAR_TRACE_UNREADABLE', path]);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { generateTrace, readLoads, TraceError, writeTrace } from '@isobar/trace';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-loads-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

let files = 0;
async function fileOf(content: string | Buffer): Promise<string> {
  files += 1;
  const path = join(folder, `${files}`);
  await writeFile(path, content);
  return path;
}

const read = async (content: string | Buffer) => readLoads(await fileOf(content));

/** Refused, with the file's path in message and fields left out. */
async function refused(content: string | Buffer) {
  const path = await fileOf(content);
  try {
    await readLoads(path);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    const { file, ...fields } = error.fields;
    expect(file).toBe(path);
    expect(error.message).toContain(path);
    return { code: error.code, message: error.message.replace(path, 'FILE'), fields };
  }
  throw new Error('was not refused');
}

const twoByThree = {
  numLayers: 2,
  numExperts: 3,
  loads: Float64Array.of(1, 2.5, 0, 40, 5, 6),
  numSteps: null,
};

describe('loads in JSON', () => {
  it.each<[string, unknown]>([
    [
      'loads',
      {
        loads: [
          [1, 2.5, 0],
          [40, 5, 6],
        ],
      },
    ],
    [
      'logical_count',
      {
        rank: 0,
        logical_count: [
          [1, 2.5, 0],
          [40, 5, 6],
        ],
      },
    ],
    [
      'nothing but rows',
      [
        [1, 2.5, 0],
        [40, 5, 6],
      ],
    ],
    [
      'loads with sizes',
      {
        format: 'load-matrix',
        version: 1,
        layers: 2,
        experts: 3,
        loads: [
          [1, 2.5, 0],
          [40, 5, 6],
        ],
      },
    ],
  ])('are read from %s, in one line, over many lines, and gzipped', async (_, value) => {
    const expected = { ...twoByThree, source: 'json' };
    expect(await read(JSON.stringify(value))).toEqual(expected);
    expect(await read(`\n${JSON.stringify(value, null, 2)}\n`)).toEqual(expected);
    expect(await read(gzipSync(JSON.stringify(value)))).toEqual(expected);
  });

  it('of several steps are summed', async () => {
    const steps = {
      logical_count: [
        [
          [1, 2],
          [3, 4],
        ],
        [
          [10, 0],
          [0, 10],
        ],
        [
          [0, 0],
          [0, 0],
        ],
      ],
    };
    expect(await read(JSON.stringify(steps))).toEqual({
      numLayers: 2,
      numExperts: 2,
      loads: Float64Array.of(11, 2, 3, 14),
      source: 'json',
      numSteps: 3,
    });
  });

  it.each<[string, string, string, Record<string, unknown>]>([
    [
      'a negative load',
      '{"loads": [[1, 2], [3, -4]]}',
      'FILE: loads: layer 1, expert 1 is -4',
      { field: 'loads.1.1', layer: 1, expert: 1 },
    ],
    [
      'NaN',
      '{"loads": [[1, NaN], [3, 4]]}',
      'layer 0, expert 1 is "NaN", not a number',
      { field: 'loads.0.1', layer: 0, expert: 1 },
    ],
    [
      '-Infinity',
      '[[1, 2], [-Infinity, 4]]',
      'layer 1, expert 0 is "-Infinity"',
      { field: '1.0', layer: 1, expert: 0 },
    ],
    ['a number that overflows', '[[1, 1e999]]', 'layer 0, expert 1 is Infinity', { field: '0.1' }],
    [
      'a number past exact sums',
      '[[1, 1e16]]',
      'layer 0, expert 1 is 10000000000000000',
      { field: '0.1' },
    ],
    [
      'a sum past exact sums',
      '[[[9e15]], [[9e15]]]',
      'step 1, layer 0, expert 0 is',
      { field: '1.0.0', step: 1, layer: 0, expert: 0 },
    ],
    ['a string', '[["7"]]', 'layer 0, expert 0 is "7", not a number', { layer: 0, expert: 0 }],
    ['null', '[[0, null]]', 'layer 0, expert 1 is null', { layer: 0, expert: 1 }],
    [
      'a ragged row',
      '{"logical_count": [[1, 2], [3]]}',
      'logical_count: layer 1 has 1 experts, and the first has 2',
      { field: 'logical_count.1', layer: 1 },
    ],
    ['a row that is none', '[[1, 2], 3]', 'layer 1 is not a list of experts', { layer: 1 }],
    ['a first row that is none', '[1, 2]', 'layer 0 is not a list of experts', { layer: 0 }],
    [
      'a ragged step',
      '[[[1], [2]], [[1]]]',
      'step 1 has 1 layers, and the first has 2',
      { field: '1' },
    ],
    [
      'a step that is none',
      '[[[1], [2]], [1, 2]]',
      'step 1, layer 0 is not a list of experts',
      { step: 1, layer: 0 },
    ],
    ['too deep', '[[[[1]]]]', 'step 0, layer 0, expert 0 is a list, not a number', { step: 0 }],
    ['no layers', '{"loads": []}', 'has no layers', { field: 'layers' }],
    ['no experts', '[[]]', 'has no experts', { field: 'experts' }],
    [
      'sizes that are not so',
      '{"layers": 3, "loads": [[1]]}',
      'layers says 3, and there are 1',
      { field: 'layers' },
    ],
  ])('are refused: %s', async (_, text, message, fields) => {
    const found = await refused(text);
    expect(found).toMatchObject({ code: 'ISOBAR_TRACE_INVALID', fields });
    expect(found.message).toContain(message);
  });

  it.each<[string, string, string]>([
    ['cut short', '{"loads": [[1, 2], [3', ''],
    ['NaN beside the loads', '{"loads": [[1, 2]], "mean": NaN}', ''],
    ['another format', '{"format": "heatmap", "version": 1, "loads": [[1]]}', 'format'],
    ['another version', '{"format": "load-matrix", "version": 2, "loads": [[1]]}', 'version'],
    ['neither key', '{"weights": [[1]]}', ''],
    ['both keys', '{"loads": [[1]], "logical_count": [[1]]}', ''],
    ['no list', '{"loads": {"0": [1]}}', 'loads'],
  ])('are no loads: %s', async (_, text, field) => {
    expect(await refused(text)).toMatchObject({ code: 'ISOBAR_TRACE_FORMAT', fields: { field } });
  });
});

describe('loads in CSV', () => {
  it.each<[string, string]>([
    ['bare', '1,2.5,0\n40,5,6\n'],
    ['spaces, empty lines and other line ends', ' 1, 2.5 ,0\r\n\r\n4e1,+5,6.'],
    ['names', 'a,b,c\n1,2.5,0\n40,5,6'],
    ['a layer column', 'layer,e0,e1,e2\n3,1,2.5,0\n5,40,5,6'],
    ['a data frame', ',0,1,2\n0,1,2.5,0\n1,40,5,6'],
    ['quotes and a mark of byte order', '\uFEFF"Layer_ID","0","1","2"\n"0",1,2.5,0\n"1",40,5,6'],
  ])('are read with %s', async (_, text) => {
    expect(await read(text)).toEqual({ ...twoByThree, source: 'csv' });
    expect(await read(gzipSync(text))).toEqual({ ...twoByThree, source: 'csv' });
  });

  it('without a header have no layer column', async () => {
    expect(await read('0,7\n1,8')).toMatchObject({ numExperts: 2 });
  });

  it.each<[string, string, string, Record<string, unknown>]>([
    ['a negative load', '1,2\n3,-4', 'FILE:2: column 2: is -4', { line: 2, column: 2 }],
    ['NaN', 'a,b\n1,nan', 'FILE:2: column 2: is "nan", not a number', { line: 2, column: 2 }],
    ['NaN first', 'NaN,2\n1,2', 'FILE:1: column 1: is "NaN"', { line: 1, column: 1 }],
    ['only NaN', 'NaN,inf', 'FILE:1: column 1: is "NaN"', { line: 1, column: 1 }],
    [
      'a word among numbers in the first line',
      '1,x,3\n1,2,3',
      'FILE:1: column 2: is "x"',
      { line: 1, column: 2 },
    ],
    ['hexadecimal', '0x10,1', 'FILE:1: column 1', { line: 1, column: 1 }],
    ['overflow', '1e999', 'column 1: is Infinity', { line: 1, column: 1 }],
    ['an empty cell', '1,2\n\n3,', 'FILE:3: column 2: is empty', { line: 3, column: 2 }],
    [
      'a short line',
      '1,2,3\n4,5',
      'FILE:2: experts: has 2 loads, and the first line has 3',
      { line: 2, found: 2, expected: 3 },
    ],
    ['a long line', '1\n4,5', 'has 2 loads, and the first line has 1', { line: 2 }],
    [
      'a header that is longer',
      'a,b,c\n1,2\n3,4',
      'FILE:2: experts: has 2 loads, and the header names 3',
      { line: 2 },
    ],
    [
      'layers that repeat',
      'layer,a\n0,1\n0,2',
      'FILE:3: column 1: layers must rise',
      { line: 3, column: 1 },
    ],
    [
      'a layer that is none',
      'layer,a\n0.5,1',
      'FILE:2: column 1: is "0.5"',
      { line: 2, column: 1 },
    ],
    [
      'one line an entry',
      'layer,expert,load\n0,0,5',
      'FILE:1: column 2: is named expert',
      { line: 1, column: 2 },
    ],
    ['a header alone', 'hello', 'has no layers', { field: 'layers' }],
    ['layers alone', 'layer\n0\n1', 'has no experts', { field: 'experts' }],
  ])('are refused: %s', async (_, text, message, fields) => {
    const found = await refused(text);
    expect(found).toMatchObject({ code: 'ISOBAR_TRACE_INVALID', fields });
    expect(found.message).toContain(message);
  });
});

describe('loads of a trace', () => {
  it('are summed over its steps', async () => {
    const trace = generateTrace({ numLayers: 2, numExperts: 16, numSteps: 5, seed: 4 });
    const path = join(folder, 'trace.jsonl.gz');
    await writeTrace(path, trace);
    const { loads, ...rest } = await readLoads(path);
    expect(rest).toEqual({ numLayers: 2, numExperts: 16, source: 'trace', numSteps: 5 });
    const step = (index: number) => [0, 1, 2, 3, 4].map((at) => trace.loads(at)[index] ?? 0);
    const sums = trace.loads(0).map((_, index) => step(index).reduce((sum, load) => sum + load));
    expect(loads).toEqual(sums);
  });

  it('keep the refusals of the trace', async () => {
    const header = {
      format: 'load-trace',
      version: 1,
      model: 'm',
      layers: 1,
      experts: 2,
      topK: 1,
      tokensPerStep: 4,
    };
    const step = { step: 0, loads: [[1, 9]] };
    expect(await refused(`${JSON.stringify(header)}\n${JSON.stringify(step)}`)).toMatchObject({
      code: 'ISOBAR_TRACE_INVALID',
      fields: { line: 2, field: 'loads.0.1' },
    });
  });
});

describe('any file of loads', () => {
  it.each([
    ['', 'nothing'],
    ['\n \n', 'blank lines'],
  ])('is refused that holds %j (%s)', async (text) => {
    expect((await refused(text)).code).toBe('ISOBAR_TRACE_FORMAT');
  });

  it('is refused that is not there', async () => {
    await expect(readLoads(join(folder, 'none'))).rejects.toMatchObject({
      code: 'ISOBAR_TRACE_UNREADABLE',
    });
  });

  it.each<[string, string, string]>([
    ['experts, in JSON', JSON.stringify([Array(32_768).fill(1)]), 'experts'],
    ['layers, in JSON', JSON.stringify(Array(1_025).fill([1])), 'layers'],
    ['experts, in CSV', Array(32_768).fill(1).join(), 'experts'],
    ['layers, in CSV', Array(1_025).fill(1).join('\n'), 'layers'],
  ])('is refused with too many %s', async (_, text, field) => {
    expect(await refused(text)).toMatchObject({ code: 'ISOBAR_TRACE_SIZES', fields: { field } });
  });

  it('is refused over 128 MiB, however well it is packed', async () => {
    const packed = gzipSync(Buffer.alloc(2 ** 27 + 1, `[${' '.repeat(65_534)}\n`), { level: 1 });
    expect(await refused(packed)).toMatchObject({
      code: 'ISOBAR_TRACE_SIZES',
      fields: { field: 'file', limitBytes: 2 ** 27 },
    });
  });

  it('is read or refused with a TraceError, whatever it holds', async () => {
    const cell = fc.oneof(
      fc.constantFrom('', ',', '\n', '"', 'layer', 'NaN', '-1', '7'),
      fc.string(),
    );
    const text = fc.oneof(
      fc.json(),
      fc.string({ unit: 'binary' }),
      fc.array(cell).map((cells) => cells.join(',')),
      fc.array(fc.array(cell)).map((rows) => rows.map((row) => row.join()).join('\n')),
      fc.json().map((value) => `{"loads": ${value}}`),
      fc.json().map((value) => `[[${value}, NaN]]`),
    );
    await fc.assert(
      fc.asyncProperty(text, async (content) => {
        try {
          const { loads, numLayers, numExperts } = await read(content);
          expect(loads).toHaveLength(numLayers * numExperts);
          expect(loads.every((load) => load >= 0 && load < Number.POSITIVE_INFINITY)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(TraceError);
        }
      }),
      { seed: 6, numRuns: 500 },
    );
  });

  it('gives back what was written, as JSON and as CSV', async () => {
    const matrix = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 6 }))
      .chain(([layers, experts]) => {
        const load = fc.double({ min: 0, max: 1e12, noNaN: true });
        const row = fc.array(load, { minLength: experts, maxLength: experts });
        return fc.array(row, { minLength: layers, maxLength: layers });
      });
    await fc.assert(
      fc.asyncProperty(matrix, async (rows) => {
        const loads = Float64Array.from(rows.flat());
        expect((await read(JSON.stringify(rows))).loads).toEqual(loads);
        expect((await read(rows.map((row) => row.join()).join('\n'))).loads).toEqual(loads);
      }),
      { seed: 5, numRuns: 50 },
    );
  });
});

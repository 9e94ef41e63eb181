import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readTrace, type Trace } from '@isobar/trace';
import { beforeAll, describe, expect, it } from 'vitest';

const folder =
  process.env.ISOBAR_DATA ?? fileURLToPath(new URL('../../../../shared/data', import.meta.url));
const isPresent = existsSync(join(folder, 'dsv2lite-loads.jsonl.gz'));

describe.skipIf(!isPresent)(`captured traces (skipped where ${folder} is absent)`, () => {
  let loads: Trace;
  let tokens: Trace[];

  beforeAll(async () => {
    const read = (name: string) => readTrace(join(folder, name));
    loads = await read('dsv2lite-loads.jsonl.gz');
    tokens = [
      await read('dsv2lite-tokens-intent.jsonl.gz'),
      await read('dsv2lite-tokens-law.jsonl.gz'),
    ];
  });

  it('have the sizes of DeepSeek-V2-Lite', () => {
    expect([loads, ...tokens].map(({ numSteps }) => numSteps)).toEqual([258, 128, 130]);
    for (const { header } of [loads, ...tokens]) {
      expect(header).toEqual({
        model: 'DeepSeek-V2-Lite',
        numLayers: 26,
        numExperts: 64,
        topK: 6,
      });
    }
  });

  it('know the sequence of each token', () => {
    const last = tokens.map((trace) => trace.sequences(trace.numSteps - 1).at(-1));
    expect(last).toEqual([126, 32]);
    expect(loads.sequences(0)).toEqual(new Int32Array(64).fill(-1));
  });

  it('agree: the token traces cut into steps have the load trace loads exactly', () => {
    const steps = tokens.flatMap((trace) =>
      Array.from({ length: trace.numSteps }, (_, step) => trace.loads(step)),
    );
    expect(steps).toHaveLength(loads.numSteps);
    steps.forEach((step, index) => {
      expect(step).toEqual(loads.loads(index));
    });
  });

  it('give a load trace tokens that have its counts, each expert once a token', () => {
    const { numLayers, numExperts, topK } = loads.header;
    for (const step of [0, 127, 257]) {
      const counts = new Float64Array(numLayers * numExperts);
      const entries = loads.tokens(step);
      for (let start = 0; start < entries.length; start += topK) {
        const chosen = entries.subarray(start, start + topK);
        expect(new Set(chosen).size).toBe(topK);
        for (const expert of chosen) {
          const at = ((start / topK) % numLayers) * numExperts + expert;
          counts[at] = (counts[at] ?? 0) + 1;
        }
      }
      expect(counts).toEqual(loads.loads(step));
    }
  });
});

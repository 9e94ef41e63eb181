import { mkdtemp, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ResultsWriter, readResults, type StepResult } from '../src/results-file.js';

const shape = { numRanks: 2, rank: 1, numLayers: 2, topK: 1 };
const first = 'aaaaaaaaaaaaaaaa';
const second = '0000000000000000';

function stepResult(step: number, startedAtMs: number): StepResult {
  return {
    step,
    traceStep: step,
    numTokens: 1,
    mappingVersion: 4,
    swapOpen: false,
    startedAtMs,
    stepMillis: 12.5,
    maskedRanks: 1,
    attempts: 2,
    served: Uint32Array.of(7, 8),
    checksums: Uint32Array.of(100 + step, 200 + step),
  };
}

describe('results of a rank', () => {
  let directory = '';

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'isobar-results-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('are of every incarnation, in the order in which they served', async () => {
    for (const [incarnation, startedAtMs] of [
      [first, 1_000],
      [second, 2_000],
    ] as const) {
      const writer = await ResultsWriter.create(directory, { ...shape, incarnation });
      await writer.append(stepResult(3, startedAtMs));
      await writer.close({ standing: 'serving', swaps: [] });
    }
    const results = await readResults(directory, 1);
    expect(results.map(({ incarnation }) => incarnation)).toEqual([first, second]);
    const [result] = results;
    expect(result).toMatchObject({ ...shape, end: { standing: 'serving', swaps: [] } });
    expect(result?.steps).toEqual([stepResult(3, 1_000)]);
    expect(await readResults(directory, 0)).toEqual([]);
  });

  it('are read as far as they are whole, where the process was killed', async () => {
    const writer = await ResultsWriter.create(directory, { ...shape, incarnation: first });
    for (const step of [0, 1, 2]) await writer.append(stepResult(step, step));
    await writer.close({ standing: 'serving', swaps: [] });
    const files = await readdir(directory);
    for (const name of files.filter((file) => file.startsWith('end'))) {
      await rm(join(directory, name));
    }
    const steps = join(directory, files.find((name) => name.startsWith('steps')) ?? '');
    const bytesOfStep = 9 * 8 + 4 * 4;
    for (const cut of [1, bytesOfStep - 1]) {
      await truncate(steps, 32 + 3 * bytesOfStep - cut);
      const [result] = await readResults(directory, 1);
      expect(result?.end).toBeNull();
      expect(result?.steps.map(({ step }) => step)).toEqual([0, 1]);
    }
  });

  it('are refused where the file is none', async () => {
    const writer = await ResultsWriter.create(directory, { ...shape, incarnation: first });
    await writer.close({ standing: 'serving', swaps: [] });
    const [name = ''] = (await readdir(directory)).filter((file) => file.startsWith('steps'));
    await truncate(join(directory, name), 0);
    await expect(readResults(directory, 1)).rejects.toMatchObject({
      code: 'ISOBAR_ENGINE_RESULTS',
    });
  });
});

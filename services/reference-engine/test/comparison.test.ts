import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  compareRunsWithOracle,
  compareWithOracle,
  type RankResults,
  stepsMissing,
  writeCheckpoint,
} from '@isobar/reference-engine';
import { generateTrace, type Trace, writeTrace } from '@isobar/trace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Checkpoint } from '../src/checkpoint.js';
import { lostMark, misroutedMark } from '../src/checksum.js';
import { numbersPerExpert } from '../src/model-shape.js';
import { tokenChecksums } from '../src/oracle.js';

const model = { numLayers: 3, numExperts: 6, topK: 2 };
const perToken = model.numLayers * model.topK;
const numRanks = 2;

describe('a comparison with the oracle', () => {
  let directory = '';
  let tracePath = '';
  let trace: Trace;
  let weights: Float64Array;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'isobar-comparison-'));
    tracePath = join(directory, 'trace.jsonl');
    trace = generateTrace({ seed: 1, ...model, tokensPerStep: 6, numSteps: 2 });
    await writeTrace(tracePath, trace);
    await writeCheckpoint(directory, model);
    const checkpoint = await Checkpoint.open(directory);
    weights = new Float64Array(model.numLayers * model.numExperts * numbersPerExpert);
    for (let index = 0; index < model.numLayers * model.numExperts; index += 1) {
      const layer = Math.floor(index / model.numExperts);
      const one = weights.subarray(index * numbersPerExpert, (index + 1) * numbersPerExpert);
      await checkpoint.readExpert(layer, index % model.numExperts, one);
    }
    await checkpoint.close();
  });

  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  /** What a rank would have recorded in trace step 0, with results `missing` from one token. */
  function resultsOf(rank: number, missing: readonly number[], mark: number): RankResults {
    const all = trace.tokens(0);
    const tokens: number[] = [];
    for (let token = rank; token < trace.numTokens(0); token += numRanks) tokens.push(token);
    const checksums = new Uint32Array(tokens.length * perToken);
    tokens.forEach((token, at) => {
      const experts = all.subarray(token * perToken, (token + 1) * perToken);
      const gone = new Uint8Array(perToken);
      if (at === 1) for (const index of missing) gone[index] = 1;
      const found = tokenChecksums(weights, model, 0, token, experts, gone);
      found.forEach((checksum, index) => {
        checksums[at * perToken + index] = gone[index] === 1 ? mark : checksum;
      });
    });
    const step = {
      step: 0,
      traceStep: 0,
      numTokens: tokens.length,
      mappingVersion: 1,
      swapOpen: false,
      startedAtMs: 0,
      stepMillis: 1,
      maskedRanks: 0,
      attempts: 1,
      served: new Uint32Array(model.numLayers),
      checksums,
    };
    const incarnation = `${rank}`.repeat(16);
    const end = { standing: 'serving', swaps: [] } as const;
    return { numRanks, rank, incarnation, ...model, steps: [step], end: { ...end, swaps: [] } };
  }

  const clean = { tokensLost: 0, tokensLostUnmasked: 0, tokensMisrouted: 0, tokensChanged: 0 };
  const compare = (results: readonly RankResults[]) =>
    compareWithOracle(directory, tracePath, results);

  it('finds nothing where all is right', async () => {
    const results = [resultsOf(0, [], lostMark), resultsOf(1, [], lostMark)];
    expect(await compare(results)).toEqual({ tokens: trace.numTokens(0), ...clean });
  });

  it('lets a token go on without what it has lost: nothing after it is changed', async () => {
    const results = resultsOf(0, [0, 3], lostMark);
    const found = await compare([results, resultsOf(1, [], lostMark)]);
    expect(found).toMatchObject({ ...clean, tokensLost: 2, tokensLostUnmasked: 2 });
    const masked = results.steps.map((step) => ({ ...step, maskedRanks: 1 }));
    expect(await compare([{ ...results, steps: masked }])).toMatchObject({
      ...clean,
      tokensLost: 2,
    });
  });

  it('finds that a token went on with a result that it is said to have lost', async () => {
    const results = resultsOf(0, [], lostMark);
    const [step] = results.steps;
    // Of the first layer of the second token: its later layers were computed with it.
    if (step !== undefined) step.checksums[perToken] = lostMark;
    const { tokensLost, tokensChanged } = await compare([results]);
    expect(tokensLost).toBe(1);
    expect(tokensChanged).toBe(perToken - model.topK);
  });

  it('keeps runs apart that are compared together', async () => {
    const whole = [resultsOf(0, [], lostMark), resultsOf(1, [], lostMark)];
    const broken = [resultsOf(0, [0, 3], lostMark)];
    const refused = [resultsOf(1, [2], misroutedMark)];
    const runs = [broken, whole, [], refused];
    const together = await compareRunsWithOracle(directory, tracePath, runs);
    expect(together).toEqual(await Promise.all(runs.map(compare)));
    expect(together.map(({ tokensLost }) => tokensLost)).toEqual([2, 0, 0, 0]);
    expect(together.map(({ tokensMisrouted }) => tokensMisrouted)).toEqual([0, 0, 0, 1]);
  });

  it('tells the refused ones apart', async () => {
    const found = await compare([resultsOf(1, [4], misroutedMark)]);
    expect(found).toMatchObject({ ...clean, tokensMisrouted: 1 });
  });

  it('finds a changed bit, also in a token that has lost something', async () => {
    for (const missing of [[], [0]]) {
      const results = resultsOf(0, missing, lostMark);
      const at = perToken + 5;
      const [step] = results.steps;
      if (step !== undefined) step.checksums[at] = ((step.checksums[at] ?? 0) ^ 0x100) >>> 0;
      expect((await compare([results])).tokensChanged).toBe(1);
    }
  });

  it('counts the steps that it can not compare', () => {
    const serving = (
      steps: readonly number[],
      standing: 'serving' | 'stopped' | null = 'serving',
    ) => {
      const [first, second] = [resultsOf(0, [], lostMark), standing];
      const recorded = steps.flatMap((step) => first.steps.map((one) => ({ ...one, step })));
      return { ...first, steps: recorded, end: second && { standing: second, swaps: [] } };
    };
    expect(stepsMissing([serving([0, 1, 2]), serving([1, 2])])).toBe(0);
    expect(stepsMissing([serving([0, 1, 2]), serving([0, 2])])).toBe(1);
    expect(stepsMissing([serving([0, 1, 2]), serving([0])])).toBe(2);
    expect(stepsMissing([serving([0, 1, 2]), serving([0], null), serving([1], 'stopped')])).toBe(0);
  });
});

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Checkpoint } from './checkpoint.js';
import { lostMark, misroutedMark } from './checksum.js';
import { numbersPerExpert } from './model-shape.js';
import { modelBytes } from './oracle.js';
import type { OracleAnswer, OracleQuestion } from './oracle-worker.js';
import type { RankResults } from './results-file.js';

/** What became of every token, against the single-process oracle. */
export interface Comparison {
  /** Positions that were served. */
  readonly tokens: number;
  /** Results that never came back, each one token × expert × layer. */
  readonly tokensLost: number;
  /** Results refused by the rank they were sent to. */
  readonly tokensMisrouted: number;
  /** Results with other bits than the oracle's. */
  readonly tokensChanged: number;
}

/**
 * Compares every result of a run with what the whole model in one process gives.
 * @throws IsobarError ISOBAR_ENGINE_CHECKPOINT; TraceError
 */
export async function compareWithOracle(
  checkpointDirectory: string,
  tracePath: string,
  results: readonly RankResults[],
): Promise<Comparison> {
  const total = { tokens: 0, tokensLost: 0, tokensMisrouted: 0, tokensChanged: 0 };
  const traceSteps = new Set<number>();
  for (const { steps } of results) for (const { traceStep } of steps) traceSteps.add(traceStep);
  const queue = [...traceSteps];
  const next = () => queue.shift();
  const weights = await loadWeights(checkpointDirectory);
  const workers = Math.min(availableParallelism(), traceSteps.size);
  await Promise.all(
    Array.from({ length: workers }, () =>
      askOracle({ weights, tracePath }, next, ({ traceStep, checksums }) => {
        for (const rank of results) compareStep(rank, traceStep, checksums, total);
      }),
    ),
  );
  return total;
}

async function loadWeights(directory: string): Promise<SharedArrayBuffer> {
  const checkpoint = await Checkpoint.open(directory);
  const { numLayers, numExperts } = checkpoint;
  const shared = new SharedArrayBuffer(modelBytes({ numLayers, numExperts, topK: 1 }));
  const expertWeights = new Float64Array(numbersPerExpert);
  const all = new Float64Array(shared);
  for (let index = 0; index < numLayers * numExperts; index += 1) {
    await checkpoint.readExpert(Math.floor(index / numExperts), index % numExperts, expertWeights);
    all.set(expertWeights, index * numbersPerExpert);
  }
  await checkpoint.close();
  return shared;
}

/** Runs one oracle thread until `next` has no further trace step for it. */
function askOracle(
  workerData: OracleQuestion,
  next: () => number | undefined,
  onAnswer: (answer: OracleAnswer) => void,
): Promise<void> {
  const worker = new Worker(new URL('./oracle-worker.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    const ask = () => {
      const traceStep = next();
      if (traceStep !== undefined) worker.postMessage(traceStep);
      else worker.terminate().then(() => resolve(), reject);
    };
    worker.on('message', (answer: OracleAnswer) => {
      onAnswer(answer);
      ask();
    });
    worker.on('error', reject);
    ask();
  });
}

function compareStep(
  rank: RankResults,
  traceStep: number,
  expected: Uint32Array,
  total: { -readonly [Field in keyof Comparison]: number },
): void {
  const perToken = rank.numLayers * rank.topK;
  for (const step of rank.steps) {
    if (step.traceStep !== traceStep) continue;
    total.tokens += step.numTokens;
    for (let at = 0; at < step.checksums.length; at += 1) {
      const token = rank.rank + Math.floor(at / perToken) * rank.numRanks;
      const wanted = expected[token * perToken + (at % perToken)];
      const found = step.checksums[at];
      if (found === wanted) continue;
      if (found === lostMark) total.tokensLost += 1;
      else if (found === misroutedMark) total.tokensMisrouted += 1;
      else total.tokensChanged += 1;
    }
  }
}

/** Trace positions that a comparison would miss: every rank must have recorded every step. */
export function stepsMissing(results: readonly RankResults[]): number {
  const longest = Math.max(0, ...results.map(({ steps }) => steps.length));
  return results.reduce((missing, { steps }) => missing + longest - steps.length, 0);
}

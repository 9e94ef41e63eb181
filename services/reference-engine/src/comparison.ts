import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Checkpoint } from './checkpoint.js';
import { lostMark, misroutedMark } from './checksum.js';
import { numbersPerExpert } from './model-shape.js';
import { type BrokenToken, modelBytes } from './oracle.js';
import type { OracleAnswer, OracleGround, OracleQuestion } from './oracle-worker.js';
import type { RankResults, ResultsShape, StepResult } from './results-file.js';

/** What became of every token, against the single-process oracle. */
export interface Comparison {
  /** Positions that were served. */
  readonly tokens: number;
  /** Results that never came back, each one token × expert × layer. */
  readonly tokensLost: number;
  /** Of these, in steps in which every member was connected throughout: nothing explains them. */
  readonly tokensLostUnmasked: number;
  /** Results refused by the rank they were sent to. */
  readonly tokensMisrouted: number;
  /** Results with other bits than the oracle's; a token goes on without those it has lost. */
  readonly tokensChanged: number;
}

const nothingServed: Comparison = {
  tokens: 0,
  tokensLost: 0,
  tokensLostUnmasked: 0,
  tokensMisrouted: 0,
  tokensChanged: 0,
};

type Totals = { -readonly [Field in keyof Comparison]: number };

/** One step of one engine process. */
interface Served {
  /** Sums of the run that it belongs to. */
  readonly total: Totals;
  readonly shape: ResultsShape;
  readonly step: StepResult;
}

/**
 * Compares every result of a run with what the whole model in one process gives.
 * @param results of every incarnation of every rank
 * @throws IsobarError ISOBAR_ENGINE_CHECKPOINT; TraceError
 */
export async function compareWithOracle(
  checkpointDirectory: string,
  tracePath: string,
  results: readonly RankResults[],
): Promise<Comparison> {
  const [total] = await compareRunsWithOracle(checkpointDirectory, tracePath, [results]);
  return total ?? nothingServed;
}

/**
 * Compares several runs of one model and trace, each by itself: the oracle is asked for a step once.
 * @throws IsobarError ISOBAR_ENGINE_CHECKPOINT; TraceError
 */
export async function compareRunsWithOracle(
  checkpointDirectory: string,
  tracePath: string,
  runs: readonly (readonly RankResults[])[],
): Promise<Comparison[]> {
  const totals = runs.map((): Totals => ({ ...nothingServed }));
  const served = servedByTraceStep(runs, totals);
  const queue = [...served.keys()];
  const next = (): OracleQuestion | undefined => {
    const traceStep = queue.shift();
    if (traceStep === undefined) return undefined;
    return { traceStep, broken: (served.get(traceStep) ?? []).flatMap(brokenTokens) };
  };
  const weights = await loadWeights(checkpointDirectory);
  const workers = Math.min(availableParallelism(), served.size);
  await Promise.all(
    Array.from({ length: workers }, () =>
      askOracle({ weights, tracePath }, next, ({ traceStep, checksums, broken }) => {
        const expectedOfBroken = broken[Symbol.iterator]();
        for (const each of served.get(traceStep) ?? []) {
          compareStep(each, checksums, expectedOfBroken);
        }
      }),
    ),
  );
  return totals;
}

function servedByTraceStep(
  runs: readonly (readonly RankResults[])[],
  totals: readonly Totals[],
): Map<number, Served[]> {
  const served = new Map<number, Served[]>();
  totals.forEach((total, run) => {
    for (const { steps, ...shape } of runs[run] ?? []) {
      for (const step of steps) {
        const others = served.get(step.traceStep);
        if (others === undefined) served.set(step.traceStep, [{ total, shape, step }]);
        else others.push({ total, shape, step });
      }
    }
  });
  return served;
}

/** Tokens of a step of which some result is missing. */
function brokenTokens({ shape, step }: Served): BrokenToken[] {
  const broken: BrokenToken[] = [];
  const perToken = shape.numLayers * shape.topK;
  for (let at = 0; at < step.numTokens; at += 1) {
    const found = step.checksums.subarray(at * perToken, (at + 1) * perToken);
    if (!isBroken(found)) continue;
    const missing = Uint8Array.from(found, (checksum) => (checksum <= misroutedMark ? 1 : 0));
    broken.push({ token: shape.rank + at * shape.numRanks, missing });
  }
  return broken;
}

function isBroken(checksums: Uint32Array): boolean {
  return checksums.some((checksum) => checksum <= misroutedMark);
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
  workerData: OracleGround,
  next: () => OracleQuestion | undefined,
  onAnswer: (answer: OracleAnswer) => void,
): Promise<void> {
  const worker = new Worker(new URL('./oracle-worker.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    const ask = () => {
      const question = next();
      if (question !== undefined) worker.postMessage(question);
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

/**
 * @param expectedOfBroken what the oracle says of each broken token, in the order of
 *   `brokenTokens`
 */
function compareStep(
  { total, shape, step }: Served,
  expected: Uint32Array,
  expectedOfBroken: Iterator<Uint32Array>,
): void {
  const perToken = shape.numLayers * shape.topK;
  total.tokens += step.numTokens;
  for (let at = 0; at < step.numTokens; at += 1) {
    const token = shape.rank + at * shape.numRanks;
    const found = step.checksums.subarray(at * perToken, (at + 1) * perToken);
    const whole = expected.subarray(token * perToken, (token + 1) * perToken);
    const wanted = isBroken(found) ? (expectedOfBroken.next().value ?? whole) : whole;
    compareToken(found, wanted, step.maskedRanks > 0, total);
  }
}

function compareToken(
  found: Uint32Array,
  wanted: Uint32Array,
  isMasked: boolean,
  total: Totals,
): void {
  found.forEach((checksum, at) => {
    if (checksum === wanted[at]) return;
    if (checksum === misroutedMark) total.tokensMisrouted += 1;
    else if (checksum !== lostMark) total.tokensChanged += 1;
    else {
      total.tokensLost += 1;
      if (!isMasked) total.tokensLostUnmasked += 1;
    }
  });
}

/**
 * Steps that a comparison would miss: an engine process must have recorded every step from its
 * first, and one that served to the end must have ended with all others.
 */
export function stepsMissing(results: readonly RankResults[]): number {
  const last = Math.max(-1, ...results.map(({ steps }) => steps.at(-1)?.step ?? -1));
  return results.reduce((missing, { steps, end }) => {
    const ownLast = steps.at(-1)?.step ?? -1;
    const recordedFrom = steps[0]?.step ?? 0;
    const gaps = ownLast + 1 - recordedFrom - steps.length;
    const behind = end?.standing === 'serving' ? last - ownLast : 0;
    return missing + Math.max(0, gaps) + behind;
  }, 0);
}

import { Worker } from 'node:worker_threads';
import { Situations } from './situations.js';

export interface Failure {
  readonly seed: number;
  readonly text: string;
}

export interface ManyRuns {
  readonly runs: number;
  readonly failures: readonly Failure[];
  readonly situations: ReadonlyMap<string, number>;
  readonly virtualMs: number;
  readonly elapsedMs: number;
}

export interface SeedRange {
  readonly from: number;
  readonly count: number;
}

/** What a worker is told to run, and tells of it. */
export interface BatchRequest extends SeedRange {
  readonly numRanks: number | null;
}

export interface BatchResult {
  readonly runs: number;
  readonly failures: readonly Failure[];
  readonly situations: ReadonlyMap<string, number>;
  readonly virtualMs: number;
}

export interface ManyOptions extends SeedRange {
  readonly workers: number;
  readonly numRanks: number | null;
  readonly onProgress: (runs: number, failures: number) => void;
  readonly onFailure: (failure: Failure) => void;
}

const batchRuns = 25;
/** Beyond so many failures no further batch is begun. */
const failuresMax = 20;

/** Runs all seeds of a range, each worker a batch at a time. */
export async function runMany(options: ManyOptions): Promise<ManyRuns> {
  const startedMs = performance.now();
  const situations = new Situations();
  const failures: Failure[] = [];
  let runs = 0;
  let virtualMs = 0;
  let next = options.from;
  const end = options.from + options.count;
  const drive = async (): Promise<void> => {
    const worker = new Worker(new URL('./run-worker.js', import.meta.url));
    while (next < end && failures.length < failuresMax) {
      const from = next;
      const count = Math.min(batchRuns, end - from);
      next += count;
      const result = await runBatch(worker, { from, count, numRanks: options.numRanks });
      runs += result.runs;
      virtualMs += result.virtualMs;
      failures.push(...result.failures);
      result.failures.forEach(options.onFailure);
      situations.add(result.situations);
      options.onProgress(runs, failures.length);
    }
    await worker.terminate();
  };
  await Promise.all(Array.from({ length: options.workers }, drive));
  failures.sort((a, b) => a.seed - b.seed);
  const elapsedMs = performance.now() - startedMs;
  return { runs, failures, situations: situations.counts, virtualMs, elapsedMs };
}

function runBatch(worker: Worker, request: BatchRequest): Promise<BatchResult> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (result: BatchResult) => {
      worker.off('error', reject);
      resolve(result);
    });
    worker.postMessage(request);
  });
}

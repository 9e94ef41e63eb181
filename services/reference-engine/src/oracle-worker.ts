import { parentPort, workerData } from 'node:worker_threads';
import { readTrace } from '@isobar/trace';
import { oracleChecksums } from './oracle.js';

/** What an oracle thread is started with; each message then names a trace step. */
export interface OracleQuestion {
  readonly weights: SharedArrayBuffer;
  readonly tracePath: string;
}

export interface OracleAnswer {
  readonly traceStep: number;
  readonly checksums: Uint32Array;
}

const { weights, tracePath } = workerData as OracleQuestion;
const trace = await readTrace(tracePath);
const all = new Float64Array(weights);

parentPort?.on('message', (traceStep: number) => {
  const checksums = oracleChecksums(all, trace.header, traceStep, trace.tokens(traceStep));
  parentPort?.postMessage({ traceStep, checksums } satisfies OracleAnswer);
});

import { parentPort, workerData } from 'node:worker_threads';
import { readTrace } from '@isobar/trace';
import { type BrokenToken, oracleChecksums, tokenChecksums } from './oracle.js';

/** What an oracle thread is started with. */
export interface OracleGround {
  readonly weights: SharedArrayBuffer;
  readonly tracePath: string;
}

export interface OracleQuestion {
  readonly traceStep: number;
  readonly broken: readonly BrokenToken[];
}

export interface OracleAnswer {
  readonly traceStep: number;
  /** [tokens × layers × topK] */
  readonly checksums: Uint32Array;
  /** Of each broken token, [layers × topK]. */
  readonly broken: readonly Uint32Array[];
}

const { weights, tracePath } = workerData as OracleGround;
const trace = await readTrace(tracePath);
const { header } = trace;
const all = new Float64Array(weights);
const perToken = header.numLayers * header.topK;

parentPort?.on('message', ({ traceStep, broken }: OracleQuestion) => {
  const experts = trace.tokens(traceStep);
  const answer: OracleAnswer = {
    traceStep,
    checksums: oracleChecksums(all, header, traceStep, experts),
    broken: broken.map(({ token, missing }) => {
      const chosen = experts.subarray(token * perToken, (token + 1) * perToken);
      return tokenChecksums(all, header, traceStep, token, chosen, missing);
    }),
  };
  parentPort?.postMessage(answer);
});

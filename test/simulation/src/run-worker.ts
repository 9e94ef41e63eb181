import { parentPort } from 'node:worker_threads';
import * as machines from '@isobar/protocol';
import { present } from './present.js';
import type { BatchRequest, BatchResult, Failure } from './run-many.js';
import { runSeed } from './run-seed.js';
import { Situations } from './situations.js';

function runBatch({ from, count, numRanks }: BatchRequest): BatchResult {
  const situations = new Situations();
  const failures: Failure[] = [];
  let virtualMs = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = runSeed({ machines, seed, ...(numRanks === null ? {} : { numRanks }) });
    situations.add(result.situations);
    virtualMs += result.virtualMs;
    if (result.violation !== null) failures.push({ seed, text: result.violation.text });
  }
  return { runs: count, failures, situations: situations.counts, virtualMs };
}

const port = present(parentPort, 'its parent');
port.on('message', (request: BatchRequest) => port.postMessage(runBatch(request)));

import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Trace } from './trace.js';
import { TraceError } from './trace-error.js';
import { TRACE_LIMITS } from './trace-format.js';

/**
 * Writes a token trace, one line a step, gzip where the path ends in `.gz`.
 * @throws TraceError ISOBAR_TRACE_SIZES where the format can't hold the trace: no steps, more
 *   than 256 experts, steps of different sizes, a token without all its experts;
 *   ISOBAR_TRACE_UNREADABLE where the file can't be written
 */
export async function writeTrace(path: string, trace: Trace): Promise<void> {
  assertWritable(trace);
  const lines = Readable.from(linesOf(trace));
  const file = createWriteStream(path);
  try {
    await (path.endsWith('.gz') ? pipeline(lines, createGzip(), file) : pipeline(lines, file));
  } catch (cause) {
    if (cause instanceof TraceError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TraceError(
      'ISOBAR_TRACE_UNREADABLE',
      `${path}: can't be written: ${why}`,
      { file: path },
      { cause },
    );
  }
}

function assertWritable(trace: Trace): void {
  const { numExperts } = trace.header;
  if (trace.numSteps < 1) throw sizes('numSteps', 'a token trace has at least one step');
  if (numExperts > TRACE_LIMITS.tokenTraceExperts) {
    const most = TRACE_LIMITS.tokenTraceExperts;
    throw sizes('numExperts', `a token trace holds at most ${most} experts, not ${numExperts}`);
  }
  for (let step = 1; step < trace.numSteps; step += 1) {
    if (trace.numTokens(step) !== trace.numTokens(0)) {
      throw sizes('tokensPerStep', `step ${step} has another number of tokens than step 0`, {
        step,
      });
    }
  }
}

function sizes(
  field: string,
  what: string,
  fields: Readonly<Record<string, unknown>> = {},
): TraceError {
  return new TraceError('ISOBAR_TRACE_SIZES', what, { field, ...fields });
}

function* linesOf(trace: Trace): Generator<string> {
  const { model, numLayers, numExperts, topK } = trace.header;
  const header = {
    format: 'token-trace',
    version: 1,
    model,
    layers: numLayers,
    experts: numExperts,
    topK,
    tokensPerStep: trace.numTokens(0),
  };
  yield `${JSON.stringify(header)}\n`;
  for (let step = 0; step < trace.numSteps; step += 1) {
    const experts = bytesOf(trace, step).toString('base64');
    yield `${JSON.stringify({ sequence: step, tokens: trace.numTokens(step), experts })}\n`;
  }
}

function bytesOf(trace: Trace, step: number): Buffer {
  const tokens = trace.tokens(step);
  if (tokens.includes(-1)) {
    const what = `step ${step} has a token without all its ${trace.header.topK} experts`;
    throw sizes('tokens', what, { step });
  }
  return Buffer.from(Uint8Array.from(tokens).buffer);
}

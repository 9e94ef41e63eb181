import { LOAD_MATRIX_LIMITS, type LoadMatrix } from './load-matrix.js';
import { parseLoadMatrixCsv } from './load-matrix-csv.js';
import { parseLoadMatrixJson } from './load-matrix-json.js';
import { readTrace } from './read-trace.js';
import type { Trace } from './trace.js';
import { TraceError } from './trace-error.js';
import { readLines } from './trace-lines.js';

/** A longer first line is no trace's header, and is not parsed twice. */
const HEADER_LENGTH_MAX = 65_536;

/**
 * Loads by layer and expert, from a file told by its content, gzip or plain: JSON, CSV, or a load
 * or token trace, whose steps are summed (what a token trace has after its last whole step is
 * left out). README.md says what each may look like.
 * @throws TraceError naming file, and line and column or step, layer and expert:
 *   ISOBAR_TRACE_UNREADABLE, ISOBAR_TRACE_FORMAT where it holds no loads, ISOBAR_TRACE_INVALID
 *   where a value is wrong, ISOBAR_TRACE_SIZES past a limit
 */
export async function readLoads(path: string): Promise<LoadMatrix> {
  const start = await firstLine(path);
  if (isTraceHeader(start)) return sumOfSteps(await readTrace(path));
  const lines = readLines(path, LOAD_MATRIX_LIMITS);
  if (!/^[[{]/.test(start)) return parseLoadMatrixCsv(lines, path);
  const texts: string[] = [];
  for await (const { text } of lines) texts.push(text);
  return parseLoadMatrixJson(texts.join('\n'), path);
}

async function firstLine(path: string): Promise<string> {
  for await (const { text } of readLines(path)) return text;
  throw new TraceError('ISOBAR_TRACE_FORMAT', `${path}: is empty`, { file: path });
}

function isTraceHeader(text: string): boolean {
  if (!text.startsWith('{') || text.length > HEADER_LENGTH_MAX) return false;
  try {
    const { format } = JSON.parse(text) as { readonly format?: unknown };
    return format === 'load-trace' || format === 'token-trace';
  } catch {
    return false;
  }
}

function sumOfSteps(trace: Trace): LoadMatrix {
  const { numLayers, numExperts } = trace.header;
  const loads = new Float64Array(numLayers * numExperts);
  for (let step = 0; step < trace.numSteps; step += 1) {
    trace.loads(step).forEach((load, index) => {
      loads[index] = (loads[index] ?? 0) + load;
    });
  }
  return { numLayers, numExperts, loads, source: 'trace', numSteps: trace.numSteps };
}

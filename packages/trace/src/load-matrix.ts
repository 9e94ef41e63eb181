import { TraceError } from './trace-error.js';
import { TRACE_LIMITS } from './trace-format.js';

/** How many tokens each expert got, whatever the file said it in. */
export interface LoadMatrix {
  readonly numLayers: number;
  readonly numExperts: number;
  /** In the file's own unit, [layers × experts]. */
  readonly loads: Float64Array;
  readonly source: 'json' | 'csv' | 'trace';
  /** Steps that were summed; null where the file has one matrix. */
  readonly numSteps: number | null;
}

export const LOAD_MATRIX_LIMITS = {
  /** Most bytes of a matrix's file, after decompression. */
  fileBytes: 2 ** 27,
  lineBytes: 2 ** 27,
  /** Beyond it sums are no longer exact. */
  load: Number.MAX_SAFE_INTEGER,
} as const;

/** What is wrong with a load; null where nothing is. */
export function flawOfLoad(load: unknown): string | null {
  if (typeof load !== 'number') return `is ${excerpt(load)}, not a number`;
  if (load >= 0 && load <= LOAD_MATRIX_LIMITS.load) return null;
  return `is ${load}: must be a number from 0 to ${LOAD_MATRIX_LIMITS.load}`;
}

function excerpt(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** @throws TraceError ISOBAR_TRACE_SIZES, ISOBAR_TRACE_INVALID where there is none at all */
export function assertMatrixSize(
  file: string,
  field: 'layers' | 'experts',
  size: number,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  const limit = TRACE_LIMITS[field];
  if (size >= 1 && size <= limit) return;
  const code = size < 1 ? 'ISOBAR_TRACE_INVALID' : 'ISOBAR_TRACE_SIZES';
  const what = size < 1 ? `has no ${field}` : `has ${size} ${field}, above ${limit}`;
  throw new TraceError(code, `${file}: ${what}`, { file, field, ...fields });
}

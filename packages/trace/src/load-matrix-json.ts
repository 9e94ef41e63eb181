import { assertMatrixSize, flawOfLoad, type LoadMatrix } from './load-matrix.js';
import { TraceError } from './trace-error.js';

const MATRIX_KEYS = ['loads', 'logical_count'] as const;

/** Rows of loads in a JSON file, not yet checked. */
interface Found {
  readonly file: string;
  /** Key that holds them; empty where the file is the rows themselves. */
  readonly key: string;
  readonly rows: readonly unknown[];
  /** What the file says its sizes are. */
  readonly layers: unknown;
  readonly experts: unknown;
}

/** Where in the rows, outermost first; a step only where there are steps. */
interface Place {
  readonly step?: number;
  readonly layer?: number;
  readonly expert?: number;
}

/**
 * Loads [layers][experts], or [steps][layers][experts], which are summed: bare, or under `loads`
 * or `logical_count` (as SGLang calls them).
 * @throws TraceError ISOBAR_TRACE_FORMAT where it is not JSON or has no such array,
 *   ISOBAR_TRACE_INVALID naming step, layer and expert, ISOBAR_TRACE_SIZES
 */
export function parseLoadMatrixJson(text: string, file: string): LoadMatrix {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw notJson(text, file, cause);
  }
  return sumOfSteps(find(value, file));
}

/** Many writers put NaN and Infinity into JSON; the refusal then names where they are. */
function notJson(text: string, file: string, cause: unknown): unknown {
  try {
    sumOfSteps(find(JSON.parse(text.replace(/-?\b(?:NaN|Infinity)\b/g, '"$&"')), file));
  } catch (error) {
    if (error instanceof TraceError) return error;
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `${file}: is not JSON: ${why}`;
  return new TraceError('ISOBAR_TRACE_FORMAT', message, { file, field: '' }, { cause });
}

function find(value: unknown, file: string): Found {
  const refuse = (field: string, what: string) =>
    new TraceError('ISOBAR_TRACE_FORMAT', `${file}: ${what}`, { file, field });
  if (Array.isArray(value)) {
    return { file, key: '', rows: value, layers: undefined, experts: undefined };
  }
  const object = new Map(Object.entries(value ?? {}));
  const format = object.get('format') ?? 'load-matrix';
  const version = object.get('version') ?? 1;
  if (format !== 'load-matrix') throw refuse('format', `holds no loads but ${String(format)}`);
  if (version !== 1) throw refuse('version', `is of version ${String(version)}, not 1`);
  const keys = MATRIX_KEYS.filter((key) => object.has(key));
  const [key] = keys;
  if (key === undefined || keys.length > 1) {
    throw refuse('', `needs either ${MATRIX_KEYS.join(' or ')}, [layers][experts]`);
  }
  const rows: unknown = object.get(key);
  if (!Array.isArray(rows)) throw refuse(key, `${key} is not a list of layers`);
  return { file, key, rows, layers: object.get('layers'), experts: object.get('experts') };
}

function sumOfSteps(found: Found): LoadMatrix {
  const { file, rows } = found;
  assertMatrixSize(file, 'layers', rows.length);
  const isStepped = Array.isArray(rows[0]) && Array.isArray(rows[0][0]);
  const steps = isStepped ? rows : [rows];
  const { numLayers, numExperts } = sizesOf(found, steps[0]);
  const loads = new Float64Array(numLayers * numExperts);
  steps.forEach((layers: unknown, step) => {
    const at = isStepped ? { step } : {};
    const list = listOf(found, at, layers, numLayers, 'layers');
    for (let layer = 0; layer < numLayers; layer += 1) {
      const experts = listOf(found, { ...at, layer }, list[layer], numExperts, 'experts');
      addRow(found, { ...at, layer }, experts, loads, layer * numExperts);
    }
  });
  return { numLayers, numExperts, loads, source: 'json', numSteps: isStepped ? rows.length : null };
}

function sizesOf(found: Found, layers: unknown) {
  const { file } = found;
  const numLayers = Array.isArray(layers) ? layers.length : 0;
  const first: unknown = Array.isArray(layers) ? layers[0] : null;
  if (!Array.isArray(first)) throw invalid(found, { layer: 0 }, 'is not a list of experts');
  const numExperts = first.length;
  assertMatrixSize(file, 'layers', numLayers);
  assertMatrixSize(file, 'experts', numExperts, { layer: 0 });
  const sizes = { layers: numLayers, experts: numExperts };
  for (const size of ['layers', 'experts'] as const) {
    const said = found[size];
    if (said === undefined || said === sizes[size]) continue;
    const what = `${size} says ${String(said)}, and there are ${sizes[size]}`;
    throw new TraceError('ISOBAR_TRACE_INVALID', `${file}: ${what}`, { file, field: size });
  }
  return { numLayers, numExperts };
}

function listOf(
  found: Found,
  at: Place,
  value: unknown,
  length: number,
  of: string,
): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(found, at, `is not a list of ${of}`);
  if (value.length === length) return value;
  throw invalid(found, at, `has ${value.length} ${of}, and the first has ${length}`);
}

function addRow(
  found: Found,
  at: Place,
  row: readonly unknown[],
  loads: Float64Array,
  start: number,
): void {
  row.forEach((load, expert) => {
    const sum = typeof load === 'number' ? (loads[start + expert] ?? 0) + load : load;
    const flaw = flawOfLoad(load) ?? flawOfLoad(sum);
    if (flaw !== null || typeof sum !== 'number') {
      throw invalid(found, { ...at, expert }, flaw ?? '');
    }
    loads[start + expert] = sum;
  });
}

function invalid(found: Found, at: Place, what: string): TraceError {
  const { file, key } = found;
  const place = Object.entries(at)
    .map(([name, index]) => `${name} ${index}`)
    .join(', ');
  const message = `${file}: ${key === '' ? '' : `${key}: `}${place} ${what}`;
  const field = [...(key === '' ? [] : [key]), ...Object.values(at)].join('.');
  return new TraceError('ISOBAR_TRACE_INVALID', message, { file, field, ...at });
}

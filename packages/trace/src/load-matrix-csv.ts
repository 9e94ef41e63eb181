import { assertMatrixSize, flawOfLoad, type LoadMatrix } from './load-matrix.js';
import type { TraceError } from './trace-error.js';
import { refuseAt, TRACE_LIMITS, type TracePlace } from './trace-format.js';

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const LAYER_NAMES: ReadonlySet<string> = new Set(['', 'layer', 'layer_id', 'index']);
const LONG_FORM_NAMES: ReadonlySet<string> = new Set(['expert', 'expert_id', 'load', 'count']);

/**
 * Comma-separated loads, one line a layer, one column an expert. The first line may name the
 * columns: where its first name is empty, `layer`, `layer_id` or `index`, that column numbers
 * the layers, rising, and is no load. Without a header every column is an expert: a column of
 * layer numbers could not be told from loads.
 * @param lines not empty
 * @throws TraceError ISOBAR_TRACE_INVALID naming line and column, both counted from 1;
 *   ISOBAR_TRACE_SIZES
 */
export async function parseLoadMatrixCsv(
  lines: AsyncIterable<{ readonly line: number; readonly text: string }>,
  file: string,
): Promise<LoadMatrix> {
  const rows: Float64Array[] = [];
  let header: readonly string[] | null | undefined;
  let lastLayer = -1;
  for await (const { line, text } of lines) {
    const place = { file, line };
    const cells = text.split(',', TRACE_LIMITS.experts + 2).map(unquote);
    if (header === undefined) {
      header = isHeader(cells) ? cells : null;
      if (header !== null) {
        assertOneLineALayer(header, place);
        continue;
      }
    }
    const hasLayers = header !== null && LAYER_NAMES.has(nameOf(header[0]));
    if (hasLayers) lastLayer = layerOf(cells.shift() ?? '', lastLayer, place);
    rows.push(loadsOf(cells, hasLayers ? 2 : 1, place));
    const width = rows[0]?.length ?? 0;
    const named = header === null ? width : header.length - (hasLayers ? 1 : 0);
    if (cells.length !== width || named !== width) {
      const other = cells.length === width ? 'the header names' : 'the first line has';
      throw ragged(place, cells.length, cells.length === width ? named : width, other);
    }
    assertMatrixSize(file, 'experts', width, { line });
    if (rows.length > TRACE_LIMITS.layers) assertMatrixSize(file, 'layers', rows.length, { line });
  }
  return matrixOf(rows, file);
}

function unquote(cell: string): string {
  return cell.trim().replace(/^"(.*)"$/, '$1');
}

function nameOf(cell: string | undefined): string {
  return (cell ?? '').toLowerCase();
}

/** Only names; or, as data frames are written, a name or nothing and then experts 0, 1, 2, … */
function isHeader(cells: readonly string[]): boolean {
  const [first = '', ...others] = cells;
  if (isNumeric(first)) return false;
  if (others.length > 0 && others.every((cell, expert) => cell === String(expert))) return true;
  return first !== '' && others.every((cell) => cell !== '' && !isNumeric(cell));
}

/** A number, or what writers put in the place of one. */
function isNumeric(cell: string): boolean {
  return NUMBER.test(cell) || /^[+-]?(?:nan|inf(?:inity)?)$/i.test(cell);
}

function assertOneLineALayer(header: readonly string[], place: TracePlace): void {
  const column = header.findIndex((cell) => LONG_FORM_NAMES.has(nameOf(cell)));
  if (column < 0) return;
  const what = `is named ${header[column]}: one line a layer is read, with one column an expert`;
  throw invalid(place, column + 1, what);
}

function layerOf(cell: string, last: number, place: TracePlace): number {
  const layer = /^\d{1,9}$/.test(cell) ? Number(cell) : -1;
  if (layer > last) return layer;
  const what = layer < 0 ? `is ${JSON.stringify(cell)}, no layer number` : 'layers must rise';
  throw invalid(place, 1, what);
}

function loadsOf(cells: readonly string[], firstColumn: number, place: TracePlace): Float64Array {
  return Float64Array.from(cells, (cell, index) => {
    const load = NUMBER.test(cell) ? Number(cell) : cell;
    const flaw = cell === '' ? 'is empty' : flawOfLoad(load);
    if (flaw === null && typeof load === 'number') return load;
    throw invalid(place, firstColumn + index, flaw ?? '');
  });
}

function invalid(place: TracePlace, column: number, what: string): TraceError {
  return refuseAt(place, 'ISOBAR_TRACE_INVALID', `column ${column}`, what, { column });
}

function ragged(place: TracePlace, found: number, expected: number, other: string): TraceError {
  const what = `has ${found} loads, and ${other} ${expected}`;
  return refuseAt(place, 'ISOBAR_TRACE_INVALID', 'experts', what, { found, expected });
}

function matrixOf(rows: readonly Float64Array[], file: string): LoadMatrix {
  assertMatrixSize(file, 'layers', rows.length);
  const numExperts = rows[0]?.length ?? 0;
  const loads = new Float64Array(rows.length * numExperts);
  rows.forEach((row, layer) => {
    loads.set(row, layer * numExperts);
  });
  return { numLayers: rows.length, numExperts, loads, source: 'csv', numSteps: null };
}

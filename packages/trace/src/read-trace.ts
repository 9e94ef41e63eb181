import { LoadTrace } from './load-trace.js';
import { TokenTrace } from './token-trace.js';
import type { Trace, TraceHeader } from './trace.js';
import { TraceError } from './trace-error.js';
import {
  type FileHeader,
  headerSchema,
  parseLine,
  refuseAt,
  sequenceSchema,
  stepSchema,
  TRACE_LIMITS,
  type TracePlace,
} from './trace-format.js';
import { readLines } from './trace-lines.js';

interface Line {
  readonly line: number;
  readonly text: string;
}

/**
 * Reads a load trace or a token trace, gzip or plain. A token trace's sequences are laid end to
 * end and cut into steps of `tokensPerStep` positions (64 where its header doesn't say); the
 * positions left after the last whole step are no step.
 * @throws TraceError naming file, line and field: ISOBAR_TRACE_UNREADABLE, ISOBAR_TRACE_FORMAT
 *   where it is no trace, ISOBAR_TRACE_INVALID where its content is wrong, ISOBAR_TRACE_SIZES
 *   where it is past a limit
 */
export async function readTrace(path: string): Promise<Trace> {
  const lines = readLines(path);
  const first = await lines.next();
  if (first.done) {
    throw new TraceError('ISOBAR_TRACE_FORMAT', `${path}: is empty`, { file: path });
  }
  const { line, text } = first.value;
  const header = parseLine(headerSchema, text, { file: path, line }, 'ISOBAR_TRACE_FORMAT');
  return header.format === 'token-trace'
    ? readTokenTrace(path, header, lines)
    : readLoadTrace(path, header, lines);
}

function headerOf({ model, layers, experts, topK }: FileHeader): TraceHeader {
  return { model, numLayers: layers, numExperts: experts, topK };
}

async function readTokenTrace(
  path: string,
  header: FileHeader,
  lines: AsyncIterable<Line>,
): Promise<Trace> {
  const sequences: Uint8Array[] = [];
  const sequenceTokens: number[] = [];
  const maxTokens = maxSteps(header, header.layers * header.topK) * header.tokensPerStep;
  let numTokens = 0;
  let expected = 0;
  for await (const { line, text } of lines) {
    const place = { file: path, line };
    const row = parseLine(sequenceSchema, text, place, 'ISOBAR_TRACE_INVALID');
    assertNumber(row.sequence, expected, 'sequence', place);
    sequences.push(decodeExperts(row, header, place));
    sequenceTokens.push(row.tokens);
    numTokens += row.tokens;
    if (numTokens > maxTokens) throw tooMany(place, 'tokens', maxTokens);
    expected += 1;
  }
  if (numTokens < header.tokensPerStep) {
    throw noSteps(path, `${numTokens} tokens are not one step of ${header.tokensPerStep}`);
  }
  const experts = Buffer.concat(sequences);
  const tokens = Int32Array.from(sequenceTokens);
  return new TokenTrace(headerOf(header), header.tokensPerStep, experts, tokens);
}

/** Most steps that fit the limit on steps and, at so many entries a token, on entries. */
function maxSteps(header: FileHeader, entriesPerToken: number): number {
  const fit = Math.floor(TRACE_LIMITS.entries / (entriesPerToken * header.tokensPerStep));
  return Math.min(TRACE_LIMITS.steps, fit);
}

function assertNumber(found: number, expected: number, field: string, place: TracePlace): void {
  if (found === expected) return;
  throw refuseAt(place, 'ISOBAR_TRACE_INVALID', field, `is ${found}, not ${expected}`);
}

function tooMany(place: TracePlace, field: string, limit: number): TraceError {
  return refuseAt(place, 'ISOBAR_TRACE_SIZES', field, `more than ${limit} in all`, { limit });
}

function noSteps(path: string, what: string): TraceError {
  return new TraceError('ISOBAR_TRACE_INVALID', `${path}: ${what}`, { file: path, field: 'steps' });
}

function decodeExperts(
  row: { readonly tokens: number; readonly experts: string },
  header: FileHeader,
  place: TracePlace,
): Uint8Array {
  const length = row.tokens * header.layers * header.topK;
  if (row.experts.length !== 4 * Math.ceil(length / 3) || !isBase64(row.experts)) {
    const what = `is not base64 of ${row.tokens} × ${header.layers} × ${header.topK} bytes`;
    throw refuseAt(place, 'ISOBAR_TRACE_INVALID', 'experts', what);
  }
  const experts = Buffer.from(row.experts, 'base64');
  if (experts.length !== length) {
    const what = `holds ${experts.length} bytes, not ${length}`;
    throw refuseAt(place, 'ISOBAR_TRACE_INVALID', 'experts', what);
  }
  assertChoices(experts, header, place);
  return experts;
}

function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function assertChoices(experts: Uint8Array, header: FileHeader, place: TracePlace): void {
  const { topK } = header;
  // The last choice, counted from 1, at which an expert was seen.
  const seen = new Int32Array(header.experts);
  experts.forEach((expert, index) => {
    const choice = Math.floor(index / topK) + 1;
    const repeated = seen[expert] === choice;
    if (expert < header.experts && !repeated) {
      seen[expert] = choice;
      return;
    }
    const token = Math.floor((choice - 1) / header.layers);
    const layer = (choice - 1) % header.layers;
    const what = repeated ? `has expert ${expert} twice` : `has no expert ${expert}`;
    throw refuseAt(
      place,
      'ISOBAR_TRACE_INVALID',
      'experts',
      `token ${token}, layer ${layer} ${what}`,
      { token, layer, expert },
    );
  });
}

async function readLoadTrace(
  path: string,
  header: FileHeader,
  lines: AsyncIterable<Line>,
): Promise<Trace> {
  const steps: Int32Array[] = [];
  const entries = header.layers * header.experts;
  const limit = Math.min(TRACE_LIMITS.steps, Math.floor(TRACE_LIMITS.entries / entries));
  const stepEntries = header.tokensPerStep * header.layers * header.topK;
  if (stepEntries > TRACE_LIMITS.entries) {
    throw tooMany({ file: path, line: 1 }, 'tokensPerStep', TRACE_LIMITS.entries);
  }
  for await (const { line, text } of lines) {
    const place = { file: path, line };
    if (steps.length === limit) throw tooMany(place, 'steps', limit);
    const row = parseLine(stepSchema, text, place, 'ISOBAR_TRACE_INVALID');
    assertNumber(row.step, steps.length, 'step', place);
    steps.push(countsOf(row, header, place));
  }
  if (steps.length === 0) throw noSteps(path, 'has no steps');
  const counts = new Int32Array(steps.length * entries);
  steps.forEach((step, index) => {
    counts.set(step, index * entries);
  });
  return new LoadTrace(headerOf(header), header.tokensPerStep, counts);
}

function countsOf(
  row: { readonly step: number; readonly loads: readonly (readonly number[])[] },
  header: FileHeader,
  place: TracePlace,
): Int32Array {
  const { layers, experts, topK, tokensPerStep } = header;
  const refuse = (field: string, what: string, fields: Readonly<Record<string, unknown>> = {}) =>
    refuseAt(place, 'ISOBAR_TRACE_INVALID', field, `step ${row.step} ${what}`, {
      step: row.step,
      ...fields,
    });
  if (row.loads.length !== layers) {
    throw refuse('loads', `has ${row.loads.length} layers, not ${layers}`);
  }
  const counts = new Int32Array(layers * experts);
  row.loads.forEach((loads, layer) => {
    const field = `loads.${layer}`;
    if (loads.length !== experts) {
      throw refuse(field, `has ${loads.length} experts, not ${experts}`, { layer });
    }
    loads.forEach((load, expert) => {
      if (Number.isInteger(load) && load >= 0 && load <= tokensPerStep) return;
      const what = `layer ${layer}, expert ${expert} has ${load}: must be a count up to ${tokensPerStep}`;
      throw refuse(`${field}.${expert}`, what, { layer, expert });
    });
    const total = loads.reduce((sum, load) => sum + load, 0);
    if (total > tokensPerStep * topK) {
      const what = `layer ${layer} sums to ${total}, above ${tokensPerStep} × ${topK}`;
      throw refuse(field, what, { layer });
    }
    counts.set(loads, layer * experts);
  });
  return counts;
}

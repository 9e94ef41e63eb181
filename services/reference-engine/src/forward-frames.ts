import { IsobarError } from '@isobar/protocol';
import { hiddenSize } from './model-shape.js';

/*
 * What ranks send one another in a layer, little-endian: first every rank to every other the
 * tokens that its slots are to serve (a dispatch, empty ones included: that is the layer's
 * barrier), then the results in the order of the dispatch's entries.
 *
 *   head      32 bytes: kind u8, stopping u8, layer u16, step u32, entries u32, tokens u32,
 *             mappingVersion f64, readyVersion f64
 *   dispatch  states f64 [tokens × hiddenSize], entries u32 [entries × 3]: token, slot, expert
 *   results   outputs f64 [entries × hiddenSize], served u8 [entries]
 */

export interface ForwardHead {
  readonly layer: number;
  readonly step: number;
  /** The version that the source routed these tokens by. */
  readonly mappingVersion: number;
  /** Highest committed version whose weights the source has staged (in-place activation). */
  readonly readyVersion: number;
  /** The source asks the group to stop after this step. */
  readonly stopping: boolean;
}

export interface Dispatch extends ForwardHead {
  readonly kind: 'dispatch';
  readonly numTokens: number;
  readonly states: Float64Array;
  readonly numEntries: number;
  readonly entries: Uint32Array;
}

export interface Results extends ForwardHead {
  readonly kind: 'results';
  readonly numEntries: number;
  readonly outputs: Float64Array;
  readonly served: Uint8Array;
}

export type ForwardFrame = Dispatch | Results;

/** Columns of `Dispatch.entries`. */
export const entryColumns = 3;
const headBytes = 32;
const stateBytes = hiddenSize * Float64Array.BYTES_PER_ELEMENT;
const kinds = { dispatch: 1, results: 2 } as const;
/** Tokens and entries that one frame may hold. */
const countMax = 65_536;

function writeHead(bytes: Uint8Array, frame: ForwardFrame, numTokens: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headBytes);
  view.setUint8(0, kinds[frame.kind]);
  view.setUint8(1, frame.stopping ? 1 : 0);
  view.setUint16(2, frame.layer, true);
  view.setUint32(4, frame.step, true);
  view.setUint32(8, frame.numEntries, true);
  view.setUint32(12, numTokens, true);
  view.setFloat64(16, frame.mappingVersion, true);
  view.setFloat64(24, frame.readyVersion, true);
}

function bytesOf(array: Float64Array | Uint32Array, length: number): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, length * array.BYTES_PER_ELEMENT);
}

export function encodeDispatch(frame: Dispatch): Uint8Array {
  const statesEnd = headBytes + frame.numTokens * stateBytes;
  const entryNumbers = frame.numEntries * entryColumns;
  const bytes = new Uint8Array(statesEnd + entryNumbers * Uint32Array.BYTES_PER_ELEMENT);
  writeHead(bytes, frame, frame.numTokens);
  bytes.set(bytesOf(frame.states, frame.numTokens * hiddenSize), headBytes);
  bytes.set(bytesOf(frame.entries, entryNumbers), statesEnd);
  return bytes;
}

export function encodeResults(frame: Results): Uint8Array {
  const outputsEnd = headBytes + frame.numEntries * stateBytes;
  const bytes = new Uint8Array(outputsEnd + frame.numEntries);
  writeHead(bytes, frame, 0);
  bytes.set(bytesOf(frame.outputs, frame.numEntries * hiddenSize), headBytes);
  bytes.set(frame.served, outputsEnd);
  return bytes;
}

/**
 * @param body a frame's body, at an offset divisible by 8 of its buffer; kept, not copied
 * @throws IsobarError ISOBAR_ENGINE_PEER_MALFORMED
 */
export function decodeForwardFrame(body: Uint8Array): ForwardFrame {
  if (body.byteLength < headBytes) throw malformed('head', body.byteLength);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const numEntries = view.getUint32(8, true);
  const numTokens = view.getUint32(12, true);
  if (numEntries > countMax || numTokens > countMax) throw malformed('entries', numEntries);
  const head = {
    stopping: view.getUint8(1) === 1,
    layer: view.getUint16(2, true),
    step: view.getUint32(4, true),
    mappingVersion: view.getFloat64(16, true),
    readyVersion: view.getFloat64(24, true),
    numEntries,
  };
  const kind = view.getUint8(0);
  if (kind === kinds.dispatch) return { ...head, ...readDispatch(body, numTokens, numEntries) };
  if (kind === kinds.results) return { ...head, ...readResults(body, numEntries) };
  throw malformed('kind', kind);
}

function readDispatch(body: Uint8Array, numTokens: number, numEntries: number) {
  const statesEnd = headBytes + numTokens * stateBytes;
  const entryNumbers = numEntries * entryColumns;
  assertLength(body, statesEnd + entryNumbers * Uint32Array.BYTES_PER_ELEMENT);
  const start = body.byteOffset + headBytes;
  const entries = new Uint32Array(body.buffer, body.byteOffset + statesEnd, entryNumbers);
  for (let at = 0; at < entryNumbers; at += entryColumns) {
    if ((entries[at] ?? 0) >= numTokens) throw malformed('entries', entries[at] ?? 0);
  }
  return {
    kind: 'dispatch',
    numTokens,
    states: new Float64Array(body.buffer, start, numTokens * hiddenSize),
    entries,
  } as const;
}

function readResults(body: Uint8Array, numEntries: number) {
  const outputsEnd = headBytes + numEntries * stateBytes;
  assertLength(body, outputsEnd + numEntries);
  const start = body.byteOffset + headBytes;
  return {
    kind: 'results',
    outputs: new Float64Array(body.buffer, start, numEntries * hiddenSize),
    served: body.subarray(outputsEnd),
  } as const;
}

function assertLength(body: Uint8Array, bytes: number): void {
  if (body.byteLength !== bytes) throw malformed('length', body.byteLength);
}

function malformed(field: string, value: number): IsobarError {
  const text = `a peer's frame is malformed at ${field}: ${value}`;
  return new IsobarError('ISOBAR_ENGINE_PEER_MALFORMED', text, { field, value });
}

import { IsobarError } from '@isobar/protocol';
import { hiddenSize } from './model-shape.js';

/*
 * What ranks send one another in a layer, little-endian: first every rank to every other the
 * tokens that its slots are to serve (a dispatch, empty ones included: that is the layer's
 * barrier), then the results in the order of the dispatch's entries.
 *
 *   head      40 bytes: kind u8, flags u8, layer u16, step u32, entries u32, tokens u32,
 *             attempt u32, 0 u32, mappingVersion f64, readyVersion f64
 *   dispatch  states f64 [tokens × hiddenSize], entries u32 [entries × 3]: token, slot, expert
 *   results   outputs f64 [entries × hiddenSize], service u8 [entries]
 */

export interface ForwardHead {
  readonly layer: number;
  readonly step: number;
  /** Of this step at the rank that dispatched; results carry back that of their dispatch. */
  readonly attempt: number;
  /** The version that the sender routes by. */
  readonly mappingVersion: number;
  /**
   * Highest committed version whose weights the sender has staged (in-place activation); infinite
   * where it has no say in when the group switches.
   */
  readonly readyVersion: number;
  /** The sender asks the group to stop after this step. */
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
  /** The sender has no tokens of its own in this layer: no dispatch of it comes. */
  readonly passive: boolean;
  readonly numEntries: number;
  readonly outputs: Float64Array;
  /** `Service` of each entry. */
  readonly service: Uint8Array;
}

export type ForwardFrame = Dispatch | Results;

/** What became of one entry of a dispatch. */
export const Service = {
  /** The slot does not hold that expert under the dispatch's version. */
  refused: 0,
  served: 1,
  /** The weights of the dispatch's version are overwritten: route anew by the sender's version. */
  outdated: 2,
} as const;

/** Columns of `Dispatch.entries`. */
export const entryColumns = 3;
const headBytes = 40;
const stateBytes = hiddenSize * Float64Array.BYTES_PER_ELEMENT;
/** First byte of a frame. */
export const forwardKinds = { dispatch: 1, results: 2 } as const;
const flags = { stopping: 1, passive: 2 } as const;
/** Tokens and entries that one frame may hold. */
const countMax = 65_536;

function writeHead(bytes: Uint8Array, frame: ForwardFrame, numTokens: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headBytes);
  const passive = frame.kind === 'results' && frame.passive;
  view.setUint8(0, forwardKinds[frame.kind]);
  view.setUint8(1, (frame.stopping ? flags.stopping : 0) | (passive ? flags.passive : 0));
  view.setUint16(2, frame.layer, true);
  view.setUint32(4, frame.step, true);
  view.setUint32(8, frame.numEntries, true);
  view.setUint32(12, numTokens, true);
  view.setUint32(16, frame.attempt, true);
  view.setFloat64(24, frame.mappingVersion, true);
  view.setFloat64(32, frame.readyVersion, true);
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
  bytes.set(frame.service, outputsEnd);
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
  const flagBits = view.getUint8(1);
  const head = {
    stopping: (flagBits & flags.stopping) !== 0,
    layer: view.getUint16(2, true),
    step: view.getUint32(4, true),
    attempt: view.getUint32(16, true),
    mappingVersion: readVersion('mappingVersion', view.getFloat64(24, true)),
    readyVersion: readReadyVersion(view.getFloat64(32, true)),
    numEntries,
  };
  const kind = view.getUint8(0);
  if (kind === forwardKinds.dispatch)
    return { ...head, ...readDispatch(body, numTokens, numEntries) };
  if (kind !== forwardKinds.results) throw malformed('kind', kind);
  const passive = (flagBits & flags.passive) !== 0;
  return { ...head, passive, ...readResults(body, numEntries) };
}

function readVersion(field: string, version: number): number {
  if (!Number.isSafeInteger(version) || version < 0) throw malformed(field, version);
  return version;
}

function readReadyVersion(version: number): number {
  return version === Number.POSITIVE_INFINITY ? version : readVersion('readyVersion', version);
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
    service: body.subarray(outputsEnd),
  } as const;
}

function assertLength(body: Uint8Array, bytes: number): void {
  if (body.byteLength !== bytes) throw malformed('length', body.byteLength);
}

function malformed(field: string, value: number): IsobarError {
  const text = `a peer's frame is malformed at ${field}: ${value}`;
  return new IsobarError('ISOBAR_ENGINE_PEER_MALFORMED', text, { field, value });
}

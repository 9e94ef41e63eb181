import { hiddenSize } from './model-shape.js';

/** The state with which a token enters the first layer: fixed by its place in the trace. */
export function initialState(
  traceStep: number,
  token: number,
  state: Float64Array,
  offset: number,
): void {
  let seed = (Math.imul(traceStep + 1, 0x9e3779b1) ^ Math.imul(token + 1, 0x85ebca77)) >>> 0;
  for (let at = 0; at < hiddenSize; at += 1) {
    seed = mix(seed + 0x6d2b79f5);
    state[offset + at] = seed / 0x8000_0000 - 1;
  }
  normalise(state, offset);
}

function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return (mixed ^ (mixed >>> 14)) >>> 0;
}

/**
 * Adds a layer's expert outputs to a token's state, in the order of the experts' ids whatever
 * the order in which they came, and normalises: the same bits under every mapping.
 * @param experts ids of the token's experts, −1 where it has fewer than topK
 * @param outputs by expert in the order of `experts`, null where a result was lost
 */
export function combine(
  state: Float64Array,
  offset: number,
  experts: Int16Array,
  outputs: readonly (Float64Array | null)[],
): void {
  const order = [...experts.keys()].filter((index) => (experts[index] ?? -1) >= 0);
  order.sort((a, b) => (experts[a] ?? 0) - (experts[b] ?? 0));
  if (order.length === 0) return;
  const gate = 1 / order.length;
  for (const index of order) {
    const output = outputs[index];
    if (output == null) continue;
    for (let at = 0; at < hiddenSize; at += 1) {
      state[offset + at] = (state[offset + at] ?? 0) + gate * (output[at] ?? 0);
    }
  }
  normalise(state, offset);
}

function normalise(state: Float64Array, offset: number): void {
  let squares = 0;
  for (let at = 0; at < hiddenSize; at += 1) squares += (state[offset + at] ?? 0) ** 2;
  const scale = 1 / Math.sqrt(squares / hiddenSize + 1e-12);
  for (let at = 0; at < hiddenSize; at += 1) {
    state[offset + at] = (state[offset + at] ?? 0) * scale;
  }
}

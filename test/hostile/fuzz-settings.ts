import fc from 'fast-check';
import { hostileMessage } from './hostile-bytes.js';

function numberOf(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} is no number: ${text}`);
  return value;
}

/** Of all messages in one run, over all subjects. */
export const messagesInAll = numberOf('ISOBAR_FUZZ_MESSAGES', 20_000);
export const seed = numberOf('ISOBAR_FUZZ_SEED', 20_261_129);

const drawnAtATime = 500;

/** So many hostile messages, the same for the same seed and name. */
export function* hostileMessages(
  name: string,
  valid: readonly Uint8Array[],
  count: number,
): Generator<Uint8Array> {
  if (valid.length === 0) throw new Error(`no valid message of the kind ${name} was captured`);
  const arbitrary = hostileMessage(valid);
  let drawn = 0;
  for (let batch = 0; drawn < count; batch += 1) {
    const numRuns = Math.min(drawnAtATime, count - drawn);
    yield* fc.sample(arbitrary, { numRuns, seed: hash(`${seed} ${name} ${batch}`) });
    drawn += numRuns;
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const character of text) {
    value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return value | 0;
}

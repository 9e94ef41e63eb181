import { z } from 'zod';
import { IsobarError } from './isobar-error.js';
import { decodeMapRecord, type MapRecord } from './map-record.js';
import { bytesSchema, versionSchema } from './schemas.js';

/** A version's outcome as it is kept and told. */
export const knownOutcomeSchema = z.object({
  version: versionSchema,
  outcome: z.enum(['committed', 'void']),
  /** The record's bytes as created. */
  record: bytesSchema,
});

export type KnownOutcome = Readonly<z.infer<typeof knownOutcomeSchema>>;

const outcomesMax = 4_096;

/** Of one rank: the newest committed outcome and every later one. */
export const knownOutcomesSchema = z.array(knownOutcomeSchema).max(outcomesMax);

/**
 * Of all these, what a rank keeps: the newest committed outcome and every later one, ascending.
 * Of one version the first stays. At the limit the oldest void ones go.
 */
export function newestOutcomes(outcomes: readonly KnownOutcome[]): readonly KnownOutcome[] {
  if (areNewest(outcomes)) return outcomes;
  const ascending = [...outcomes]
    .sort((a, b) => a.version - b.version)
    .filter((known, index, all) => known.version !== all[index - 1]?.version);
  const newest = ascending.findLastIndex((known) => known.outcome === 'committed');
  const kept = ascending.slice(Math.max(0, newest));
  if (kept.length <= outcomesMax) return kept;
  const committed = kept.slice(0, newest < 0 ? 0 : 1);
  return [...committed, ...kept.slice(committed.length - outcomesMax)];
}

/** Whether they are what would be kept of them, as most are that somebody has kept. */
function areNewest(outcomes: readonly KnownOutcome[]): boolean {
  let before: KnownOutcome | null = null;
  for (const known of outcomes) {
    if (before !== null && (known.outcome === 'committed' || known.version <= before.version)) {
      return false;
    }
    before = known;
  }
  return outcomes.length <= outcomesMax;
}

/**
 * The record of an outcome that came from outside.
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, also where it is of another version or outcome;
 *   ISOBAR_PROTOCOL_SCHEMA_VERSION
 */
export function decodeKnownOutcome(known: KnownOutcome): MapRecord {
  const record = decodeMapRecord(known.record);
  const field = (['version', 'outcome'] as const).find((name) => record[name] !== known[name]);
  if (field === undefined) return record;
  const text = `the record told as outcome of version ${known.version} has another ${field}`;
  throw new IsobarError('ISOBAR_PROTOCOL_MALFORMED', text, { message: 'known outcome', field });
}

/**
 * Whether two records can't both be true. Also of different versions: a committed record tells
 * of those below it which was its base, and that the ones between were not committed.
 */
export function contradicts(left: MapRecord, right: MapRecord): boolean {
  if (left.version > right.version) return contradicts(right, left);
  if (left.version === right.version) {
    if (left.outcome !== 'committed' || right.outcome !== 'committed') {
      return left.outcome !== right.outcome;
    }
    return left.digest !== right.digest || left.base.version !== right.base.version;
  }
  if (right.outcome !== 'committed') return false;
  const { base, voided } = right;
  if (left.outcome === 'void') return base.version === left.version;
  if (voided.includes(left.version) || base.version < left.version) return true;
  return base.version === left.version && base.digest !== left.digest;
}

import { IsobarError } from '../isobar-error.js';
import type { CommittedRecord } from '../map-record.js';
import type { RankAnswer } from '../messages.js';
import { differingField } from './differing-field.js';

type AnsweringEngine = NonNullable<RankAnswer['engine']>;

/**
 * Why these engines can't be led as one group, null where they can. They must be of one shape;
 * where nothing is recorded they must all serve one start mapping; and none may have acted on a
 * version that nobody keeps the record of.
 * @param engines of living members; where nothing is recorded, all that live
 */
export function engineDisagreement(
  engines: readonly AnsweringEngine[],
  newest: CommittedRecord | null,
): IsobarError | null {
  const [first] = engines;
  if (first === undefined) return null;
  for (const { description, state } of engines) {
    const { rank } = description;
    const field = differingField(first.description, description);
    if (field !== null) return disagreement(rank, field);
    if (newest === null && state.standing !== 'serving') return disagreement(rank, 'standing');
    if (newest === null && state.mappingDigest !== first.state.mappingDigest) {
      return disagreement(rank, 'mappingDigest');
    }
    const version = newest?.version ?? 0;
    if (state.committedVersion > version) return recordMissing(rank, state.committedVersion);
  }
  return null;
}

function disagreement(rank: number, field: string): IsobarError {
  return new IsobarError(
    'ISOBAR_PROTOCOL_ENGINES_DISAGREE',
    `the engine of rank ${rank} differs from its group in ${field}`,
    { rank, field },
  );
}

function recordMissing(rank: number, version: number): IsobarError {
  return new IsobarError(
    'ISOBAR_PROTOCOL_RECORD_MISSING',
    `rank ${rank} has acted on version ${version}, whose record nobody has`,
    { rank, version },
  );
}

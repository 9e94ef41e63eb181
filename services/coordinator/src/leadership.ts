import { randomBytes } from 'node:crypto';
import { Actor, type Bus, type Intake, type Records } from '@isobar/bus';
import {
  type ControlRecord,
  controlRecordKey,
  controlRecordSchema,
  type DecidedVersion,
  decode,
  decodeMapRecord,
  encode,
  type Fence,
  type Ground,
  IsobarError,
  initialTakeover,
  leaderRecordKey,
  leaderRecordSchema,
  querySchema,
  rankAnswerSchema,
  type Subjects,
  stepTakeover,
  type TakeoverEffect,
  type TakeoverEvent,
  type TakeoverState,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { CoordinatorSettings } from './settings.js';

export interface LeadershipOptions {
  readonly settings: CoordinatorSettings;
  readonly bus: Bus;
  readonly records: Records;
  readonly subjects: Subjects;
  readonly intake: Intake;
  readonly logger: Logger;
  /** Ranks of the topology: they must answer while no record names members. */
  readonly configuredRanks: readonly number[];
}

/** A leader's footing, once every member has answered its term. */
export interface Leadership {
  readonly fence: Fence;
  readonly ground: Ground;
  readonly control: ControlRecord;
  readonly controlRevision: number;
  readonly leaderRevision: number;
}

const mapPrefix = 'map.';
/** Between two attempts to take over. */
const askAgainMs = 1_000;

/**
 * Takes leadership: claims the leader record under a term above every term seen, asks all
 * members under it, decides what was left open, and takes over the control record.
 * @throws IsobarError ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT, ISOBAR_PROTOCOL_ENGINES_DISAGREE: an
 *   operator must decide; ISOBAR_COORDINATOR_OUTRANKED with the fence met; those of the bus
 */
export async function takeLeadership(
  options: LeadershipOptions,
  signal: AbortSignal,
): Promise<Leadership> {
  const { records } = options;
  const stored = await readMapRecords(records);
  const control = await readRecord(records, controlRecordKey, (bytes) =>
    decode('control record', bytes, controlRecordSchema),
  );
  const terms = stored.map(({ record }) => record.fence.term);
  const claimed = await claim(options, Math.max(0, control?.value.fence.term ?? 0, ...terms));
  const ground = await takeOver(options, claimed.fence, stored, signal);
  const { mode } = options.settings;
  const fresh = { mode, paused: false, held: null, drained: [], dead: [] };
  const next: ControlRecord = { ...fresh, ...control?.value, schema: 1, fence: claimed.fence };
  const written = await records.compareAndSet(
    controlRecordKey,
    encode(next),
    control?.revision ?? 0,
  );
  if (written.kind !== 'set') throw lostTo(claimed.fence, controlRecordKey);
  return {
    fence: claimed.fence,
    ground,
    control: next,
    controlRevision: written.revision,
    leaderRevision: claimed.revision,
  };
}

async function readMapRecords(records: Records): Promise<DecidedVersion[]> {
  return (await records.list(mapPrefix)).map(({ value }) => decidedVersion(value));
}

function decidedVersion(bytes: Uint8Array): DecidedVersion {
  const record = decodeMapRecord(bytes);
  const { version, outcome } = record;
  return { known: { version, outcome, record: bytes }, record };
}

async function readRecord<T>(
  records: Records,
  key: string,
  read: (bytes: Uint8Array) => T,
): Promise<{ readonly value: T; readonly revision: number } | null> {
  const stored = await records.get(key);
  return stored === null ? null : { value: read(stored.value), revision: stored.revision };
}

async function claim(
  options: LeadershipOptions,
  highestTerm: number,
): Promise<{ readonly fence: Fence; readonly revision: number }> {
  const { records, settings } = options;
  const current = await readRecord(records, leaderRecordKey, (bytes) =>
    decode('leader record', bytes, leaderRecordSchema),
  );
  const term = 1 + Math.max(highestTerm, current?.value.fence.term ?? 0);
  const fence = { term, nonce: randomBytes(8).toString('hex') };
  const record = { schema: 1, holder: settings.holder, fence, renewals: 0 };
  const claimed = await records.compareAndSet(
    leaderRecordKey,
    encode(record),
    current?.revision ?? 0,
  );
  if (claimed.kind !== 'set') throw lostTo(fence, leaderRecordKey);
  return { fence, revision: claimed.revision };
}

function lostTo(fence: Fence, key: string): IsobarError {
  const text = `the record ${key} was written by another while term ${fence.term} was claimed`;
  return new IsobarError('ISOBAR_COORDINATOR_OUTRANKED', text, { term: fence.term, key });
}

type TakeoverActor = Actor<TakeoverState, TakeoverEvent, TakeoverEffect>;

/** Runs the takeover machine until it is complete, or can't be. */
function takeOver(
  options: LeadershipOptions,
  fence: Fence,
  stored: readonly DecidedVersion[],
  signal: AbortSignal,
): Promise<Ground> {
  const { configuredRanks } = options;
  return new Promise<Ground>((resolve, reject) => {
    const actor: TakeoverActor = new Actor({
      name: 'takeover',
      initial: initialTakeover(fence, configuredRanks, stored),
      step: stepTakeover,
      perform: (effect) => perform(options, fence, actor, effect, settle),
      onFailure: (error) => settle(error),
    });
    const timer = setInterval(() => actor.send({ kind: 'tick' }), askAgainMs);
    const onAbort = () => settle(signal.reason);
    const settle = (outcome: unknown) => {
      clearInterval(timer);
      signal.removeEventListener('abort', onAbort);
      if (isGround(outcome)) resolve(outcome);
      else reject(outcome);
    };
    signal.addEventListener('abort', onAbort);
    actor.send({ kind: 'tick' });
  });
}

function isGround(outcome: unknown): outcome is Ground {
  return typeof outcome === 'object' && outcome !== null && 'nextVersion' in outcome;
}

async function perform(
  options: LeadershipOptions,
  fence: Fence,
  actor: TakeoverActor,
  effect: TakeoverEffect,
  settle: (outcome: unknown) => void,
): Promise<void> {
  switch (effect.kind) {
    case 'ask':
      for (const rank of effect.ranks) void ask(options, fence, actor, rank);
      return;
    case 'create-record': {
      const { version, bytes } = effect;
      const created = await options.records.createOnce(`${mapPrefix}${version}`, bytes);
      if (created.kind === 'created') actor.send({ kind: 'record-created', version });
      if (created.kind === 'exists') {
        actor.send({ kind: 'record-exists', existing: decidedVersion(created.value) });
      }
      return;
    }
    case 'outranked': {
      const text = `term ${fence.term} is outranked by term ${effect.by.term}`;
      settle(new IsobarError('ISOBAR_COORDINATOR_OUTRANKED', text, { term: effect.by.term }));
      return;
    }
    case 'failed':
      settle(effect.error);
      return;
    case 'complete':
      settle(effect.ground);
      return;
  }
}

async function ask(
  options: LeadershipOptions,
  fence: Fence,
  actor: TakeoverActor,
  rank: number,
): Promise<void> {
  const { bus, subjects, settings, logger, intake } = options;
  const question = encode(querySchema.parse({ schema: 1, fence }));
  let payload: Uint8Array;
  try {
    payload = await bus.request(subjects.query(rank), question, settings.queryDeadlineMs);
  } catch (error) {
    // The machine asks again, at its next tick.
    logger.debug({ err: error, rank }, 'rank has not answered');
    return;
  }
  const event = intake.read('rank answer', (): TakeoverEvent => {
    const answer = decode('rank answer', payload, rankAnswerSchema);
    if (answer.rank !== rank) {
      const text = `rank ${rank} was asked, and the answer is of rank ${answer.rank}`;
      throw new IsobarError('ISOBAR_PROTOCOL_MALFORMED', text, { field: 'rank', rank });
    }
    const outcomes = answer.outcomes.map((known) => ({
      known,
      record: decodeMapRecord(known.record),
    }));
    return { kind: 'answer', answer, outcomes };
  });
  if (event !== null) actor.send(event);
}

import {
  type EngineSwapState,
  type Fence,
  isFenced,
  type MapRecord,
  type Member,
  type Proposal,
} from '@isobar/protocol';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { OutcomeRules } from './outcome-rules.js';
import { RuleViolation } from './rule-violation.js';

/** What made an engine's guard change. */
export interface SwapCause {
  readonly fence?: Fence;
  readonly record?: MapRecord;
  readonly proposal?: Proposal;
  /** The outcome came from a peer that has acted on it, not from a leader. */
  readonly peer?: boolean;
  /** A joining engine has taken the record as its base. */
  readonly adopted?: boolean;
  /** Every member has activated the newest version, and older ones are freed. */
  readonly retires?: boolean;
}

/** S2, S3 and S6 for one engine's incarnation: what it must remember, and what may change it. */
export class EngineRules {
  readonly #outcomes: OutcomeRules;
  /** Content of the vote for each version, by incarnation. */
  readonly #votes = new Map<string, string>();

  constructor(outcomes: OutcomeRules) {
    this.#outcomes = outcomes;
  }

  changed(
    engine: SimulatedEngine,
    before: EngineSwapState,
    after: EngineSwapState,
    cause: SwapCause,
  ): void {
    if (after === before) return;
    this.#checkFence(engine, before, after, cause);
    this.#checkVote(engine, before, after, cause);
    this.#checkOutcome(engine, before, after, cause);
    checkMemory(engine, before, after, cause);
    if (after.mappingVersion !== before.mappingVersion) checkSwitch(engine, after);
  }

  hasVoted(incarnation: string, version: number, digest: string): boolean {
    return this.#votes.get(`${incarnation} ${version}`)?.startsWith(digest) === true;
  }

  #checkFence(
    engine: SimulatedEngine,
    before: EngineSwapState,
    after: EngineSwapState,
    { fence }: SwapCause,
  ): void {
    if (fence !== undefined && isFenced(before.fence, fence)) {
      throw new RuleViolation(
        'S3',
        `${engine.name} acts on term ${fence.term} of ${fence.nonce}, though it knows term ${before.fence?.term} of ${before.fence?.nonce}`,
      );
    }
    if (before.fence === null || after.fence === before.fence) return;
    if (after.fence === null || isFenced(before.fence, after.fence)) {
      throw new RuleViolation('S3', `${engine.name} forgets term ${before.fence.term}`);
    }
  }

  #checkVote(
    engine: SimulatedEngine,
    before: EngineSwapState,
    after: EngineSwapState,
    { record, proposal }: SwapCause,
  ): void {
    const held = before.vote;
    if (held !== null && after.vote?.version !== held.version) {
      if (record === undefined || !tells(record, held.version)) {
        throw new RuleViolation(
          'S6',
          `${engine.name} is released from its vote for version ${held.version} without its outcome`,
        );
      }
    }
    const cast = after.vote;
    if (cast === null || cast === held) return;
    const key = `${engine.incarnation} ${cast.version}`;
    const content = `${cast.digest} ${cast.base.version} ${cast.base.digest}`;
    const earlier = this.#votes.get(key);
    if (earlier !== undefined && earlier !== content) {
      throw new RuleViolation('S3', `${engine.name} votes twice for version ${cast.version}`);
    }
    if (earlier === undefined && cast.version <= before.votedUpTo) {
      throw new RuleViolation(
        'S3',
        `${engine.name} votes for version ${cast.version}, having decided up to ${before.votedUpTo}`,
      );
    }
    if (proposal === undefined) {
      throw new RuleViolation('machine', `${engine.name} votes without having staged`);
    }
    if (cast.incarnation !== engine.incarnation || cast.digest !== proposal.digest) {
      throw new RuleViolation('S3', `${engine.name} votes for another than it has staged`);
    }
    this.#votes.set(key, content);
  }

  #checkOutcome(
    engine: SimulatedEngine,
    before: EngineSwapState,
    after: EngineSwapState,
    { record, adopted }: SwapCause,
  ): void {
    const took = after.outcomes !== before.outcomes || after.vote !== before.vote;
    if (record !== undefined && took) {
      this.#outcomes.acted(record, engine.name, engine.incarnation);
    }
    if (after.committed.version === before.committed.version) return;
    if (record?.outcome !== 'committed' || record.version !== after.committed.version) {
      throw new RuleViolation(
        'S2',
        `${engine.name} takes version ${after.committed.version} for committed without its record`,
      );
    }
    if (adopted === true) return;
    const listed = record.members.some(({ incarnation }) => incarnation === engine.incarnation);
    const voted = before.vote?.version === record.version && before.vote.digest === record.digest;
    if (listed && !voted) {
      throw new RuleViolation(
        'S4',
        `${engine.name} follows version ${record.version}, for which it has not voted`,
      );
    }
  }
}

/** A committed record also says what became of the versions between its base and itself. */
function tells(record: MapRecord, version: number): boolean {
  if (record.version === version) return true;
  if (record.outcome === 'void') return false;
  return record.base.version === version || record.voided.includes(version);
}

/** What an incarnation has seen it never forgets. */
function checkMemory(
  engine: SimulatedEngine,
  before: EngineSwapState,
  after: EngineSwapState,
  { retires = false }: SwapCause,
): void {
  const fallen = (['votedUpTo', 'mappingVersion', 'activatedVersion', 'retiredUpTo'] as const).find(
    (field) => after[field] < before[field],
  );
  if (fallen !== undefined) throw new RuleViolation('S3', `${engine.name} goes back in ${fallen}`);
  if (after.committed.version < before.committed.version) {
    throw new RuleViolation('S3', `${engine.name} goes back in its committed version`);
  }
  if (after.cuts !== before.cuts) {
    const voted = after.vote === null ? [] : engine.membersOf(after.vote.version);
    const members = [...engine.membersOf(after.committed.version), ...voted];
    const isIn = (list: readonly Member[], { incarnation }: Member) =>
      list.some((other) => other.incarnation === incarnation);
    // Once a version is retired those are forgotten that no version lists any more.
    const isKept = (cut: Member) => isIn(after.cuts, cut) || (retires && !isIn(members, cut));
    const forgotten = before.cuts.find((cut) => !isKept(cut));
    if (forgotten !== undefined) {
      throw new RuleViolation('S3', `${engine.name} forgets the cut of rank ${forgotten.rank}`);
    }
  }
}

function checkSwitch(engine: SimulatedEngine, after: EngineSwapState): void {
  const { mappingVersion, committed } = after;
  if (mappingVersion !== committed.version) {
    throw new RuleViolation(
      'S2',
      `${engine.name} routes by version ${mappingVersion}, though ${committed.version} is committed`,
    );
  }
  if (after.standing !== 'serving') return;
  // Who leaves switches to the version without it, and stops once its own tokens are answered.
  const listed = engine.listings.some((members) =>
    members.some(({ incarnation }) => incarnation === engine.incarnation),
  );
  if (!listed) {
    throw new RuleViolation(
      'S4',
      `${engine.name} routes by version ${mappingVersion}, which does not list it`,
    );
  }
}

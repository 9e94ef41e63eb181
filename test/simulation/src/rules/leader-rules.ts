import {
  type CommittedRecord,
  isFenced,
  type MapRecord,
  type Member,
  sameFence,
} from '@isobar/protocol';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { EngineRules } from './engine-rules.js';
import type { OutcomeRules } from './outcome-rules.js';
import { RuleViolation } from './rule-violation.js';

/** What a leader may decide, held against what its ranks really are at that moment. */
export class LeaderRules {
  readonly #engines: readonly SimulatedEngine[];
  readonly #outcomes: OutcomeRules;
  readonly #votes: EngineRules;
  readonly #isProvenDead: (engine: SimulatedEngine) => boolean;

  constructor(
    engines: readonly SimulatedEngine[],
    outcomes: OutcomeRules,
    votes: EngineRules,
    isProvenDead: (engine: SimulatedEngine) => boolean,
  ) {
    this.#engines = engines;
    this.#outcomes = outcomes;
    this.#votes = votes;
    this.#isProvenDead = isProvenDead;
  }

  /** A leader has a record created; again, for as long as it knows of no success. */
  creates(record: MapRecord, who: string): void {
    this.#checkAsked(record, who);
    if (record.outcome === 'void' || this.#outcomes.isActed(record)) return;
    const base = this.#outcomes.createdAs(record.base.version);
    this.#checkVotes(record, base, who);
    if (base !== null) this.#checkRemovals(record, base, who);
  }

  /** Being asked raises an engine's fence: nobody decides before all that may act have been. */
  #checkAsked(record: MapRecord, who: string): void {
    const { fence, version } = record;
    // Before the first version nobody has acted on anything: whom it lists must have been asked.
    const first = record.outcome === 'committed' ? record.members : [];
    const members = this.#outcomes.newestActed?.members ?? first;
    for (const engine of this.#engines) {
      if (!lists(members, engine) || !engine.process.alive || this.#isProvenDead(engine)) continue;
      const known = engine.swap.fence;
      if (known !== null && (sameFence(known, fence) || isFenced(known, fence))) continue;
      throw new RuleViolation(
        'S3',
        `${who} decides version ${version} under term ${fence.term} before ${engine.name} has answered it`,
      );
    }
  }

  #checkVotes(record: CommittedRecord, base: CommittedRecord | null, who: string): void {
    for (const engine of this.#engines) {
      const required =
        lists(record.members, engine) || (base !== null && lists(base.members, engine));
      if (!required || !engine.process.alive || this.#isProvenDead(engine)) continue;
      if (this.#votes.hasVoted(engine.incarnation, record.version, record.digest)) continue;
      throw new RuleViolation(
        'S2',
        `${who} commits version ${record.version} without the vote of ${engine.name}`,
      );
    }
  }

  /** A member that lives is removed by its own vote, or not at all. */
  #checkRemovals(record: CommittedRecord, base: CommittedRecord, who: string): void {
    for (const engine of this.#engines) {
      if (!lists(base.members, engine) || lists(record.members, engine)) continue;
      if (!engine.process.alive || this.#isProvenDead(engine)) continue;
      if (this.#votes.hasVoted(engine.incarnation, record.version, record.digest)) continue;
      throw new RuleViolation('S4', `${who} removes ${engine.name}, which lives, without its vote`);
    }
  }
}

function lists(members: readonly Member[], engine: SimulatedEngine): boolean {
  return members.some(({ incarnation }) => incarnation === engine.incarnation);
}

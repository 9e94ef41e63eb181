import {
  type DurableRankState,
  type Fence,
  isFenced,
  type RankAnswer,
  type RankSwapEffect,
  type RankSwapEvent,
  sameFence,
  type Vote,
} from '@isobar/protocol';
import type { Reader } from '../machines.js';
import { present } from '../present.js';
import type { SimulatedAgent } from '../processes/simulated-agent.js';
import type { OutcomeRules } from './outcome-rules.js';
import { RuleViolation } from './rule-violation.js';

/** S3 for agents: what they refuse, what they write down before they speak, what they keep. */
export class AgentRules {
  readonly #outcomes: OutcomeRules;
  readonly #reader: Reader;
  /** Content of the vote sent for each version, by incarnation. */
  readonly #votes = new Map<string, string>();

  constructor(outcomes: OutcomeRules, reader: Reader) {
    this.#outcomes = outcomes;
    this.#reader = reader;
  }

  stepped(
    agent: SimulatedAgent,
    event: RankSwapEvent,
    before: DurableRankState,
    after: DurableRankState,
    effects: readonly RankSwapEffect[],
  ): void {
    const fence = fenceOf(event);
    if (fence === null || !isFenced(before.fence, fence)) return;
    const acts = effects.some(
      ({ kind }) => kind === 'command-engine' || kind === 'send-vote' || kind === 'persist',
    );
    if (!acts && after === before) return;
    throw new RuleViolation(
      'S3',
      `${agent.name} acts on ${event.kind} of term ${fence.term} of ${fence.nonce}, though it knows term ${before.fence?.term} of ${before.fence?.nonce}`,
    );
  }

  persists(agent: SimulatedAgent, before: DurableRankState, after: DurableRankState): void {
    if (before.fence !== null && (after.fence === null || isFenced(before.fence, after.fence))) {
      throw new RuleViolation('S3', `${agent.name} forgets term ${before.fence.term}`);
    }
    if (after.votedUpTo < before.votedUpTo) {
      throw new RuleViolation('S3', `${agent.name} forgets that it voted on ${before.votedUpTo}`);
    }
    if (before.vote !== null && (after.vote?.version ?? 0) < before.vote.version) {
      throw new RuleViolation('S3', `${agent.name} forgets its vote on ${before.vote.version}`);
    }
    if (after.outcomes !== before.outcomes) this.#checkOutcomes(agent, before, after);
  }

  #checkOutcomes(agent: SimulatedAgent, before: DurableRankState, after: DurableRankState): void {
    // Outcomes are taken only for an engine that is connected.
    const incarnation = present(agent.state.engine, 'an engine').description.incarnation;
    for (const known of after.outcomes) {
      if (before.outcomes.includes(known)) continue;
      this.#outcomes.acted(this.#reader.record(known.record), agent.name, incarnation);
    }
    const newest = after.outcomes.findLast(({ outcome }) => outcome === 'committed')?.version ?? 0;
    const forgotten = before.outcomes.find(
      ({ version }) =>
        version >= newest && !after.outcomes.some((known) => known.version === version),
    );
    if (forgotten === undefined) return;
    throw new RuleViolation('S3', `${agent.name} forgets the outcome of ${forgotten.version}`);
  }

  /** @returns whether the vote is sent for the first time */
  votes(agent: SimulatedAgent, vote: Vote): boolean {
    const { durable } = agent.disk;
    const written = durable.vote;
    if (written?.version !== vote.version || written.yes !== vote.yes) {
      throw new RuleViolation('S3', `${agent.name} votes on ${vote.version} before writing it`);
    }
    if (agent.state.engine?.description.incarnation !== vote.incarnation) {
      throw new RuleViolation('S3', `${agent.name} votes for an engine that it has no more`);
    }
    const key = `${vote.incarnation} ${vote.version}`;
    const content = `${vote.digest} ${vote.base.version} ${vote.yes}`;
    const earlier = this.#votes.get(key);
    if (earlier !== undefined && earlier !== content) {
      throw new RuleViolation('S3', `${agent.name} votes twice on ${vote.version}, differently`);
    }
    this.#votes.set(key, content);
    return earlier === undefined;
  }

  /** An answer that shows its engine under the asker's fence: the engine must know that fence. */
  answers(agent: SimulatedAgent, answer: RankAnswer): void {
    const told = answer.engine;
    if (told === null || answer.fence === null) return;
    const { engine } = agent;
    const here = engine.process.alive && engine.incarnation === told.description.incarnation;
    if (!here || !sameFence(told.state.fence, answer.fence)) return;
    const known = engine.swap.fence;
    if (known !== null && (sameFence(known, answer.fence) || isFenced(known, answer.fence))) return;
    throw new RuleViolation('S3', `${agent.name} answers for its engine before that was asked`);
  }
}

function fenceOf(event: RankSwapEvent): Fence | null {
  switch (event.kind) {
    case 'prepare':
    case 'outcome':
    case 'retire':
    case 'swap-state':
    case 'cut':
      return event.message.fence;
    case 'query':
      return event.query.fence;
    case 'outcomes-told':
      return event.fence;
    default:
      return null;
  }
}

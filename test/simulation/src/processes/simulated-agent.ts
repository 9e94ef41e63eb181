import type {
  DurableRankState,
  Fence,
  LeaveAnswer,
  LeaveQuestion,
  Query,
  RankAnswer,
  RankReport,
  RankSwapEffect,
  RankSwapEvent,
  RankSwapState,
  Vote,
  WitnessedEngine,
} from '@isobar/protocol';
import { AgentPort } from '../engine/agent-port.js';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { BusClient } from '../network/message-network.js';
import { RuleViolation } from '../rules/rule-violation.js';
import type { World } from '../world.js';

/** What outlives an agent's process. */
export interface AgentDisk {
  durable: DurableRankState;
  /** The agent that has opened it: nobody else may while that one lives. */
  holder: VirtualProcess | null;
}

const questionMs = 2_000;
const leaveDeadlineMs = 60_000;

/** An agent's shell: what services/rank-agent does around `stepRankSwap`. */
export class SimulatedAgent {
  readonly process: VirtualProcess;
  readonly client: BusClient;
  rank: number;
  readonly engine: SimulatedEngine;
  readonly disk: AgentDisk;
  readonly port: AgentPort;
  readonly #world: World;
  #state: RankSwapState;
  readonly #questions = new Map<number, (answer: RankAnswer) => void>();
  #nextQuestion = 0;

  constructor(
    world: World,
    process: VirtualProcess,
    client: BusClient,
    engine: SimulatedEngine,
    disk: AgentDisk,
  ) {
    this.#world = world;
    this.process = process;
    this.client = client;
    this.engine = engine;
    this.rank = engine.rank;
    this.disk = disk;
    this.port = new AgentPort(world, this);
    this.#state = world.machines.initialRankSwap(this.rank, disk.durable);
  }

  get state(): RankSwapState {
    return this.#state;
  }

  get name(): string {
    return this.process.name;
  }

  get isConnected(): boolean {
    return this.port.isConnected;
  }

  /** A station that stands by is given a rank, before it starts. */
  takeRank(rank: number): void {
    this.rank = rank;
  }

  start(): void {
    const { scheduler, machines, random, tickMs } = this.#world;
    scheduler.start(this.process);
    this.#world.log(() => `${this.name} starts`);
    if (!this.#openDisk()) {
      scheduler.crash(this.process);
      return;
    }
    this.#state = machines.initialRankSwap(this.rank, this.disk.durable);
    this.#questions.clear();
    this.port.start();
    scheduler.timer(this.process, random.next() * tickMs.agent, () => this.#tick());
  }

  /** As the state file's lock does. @returns false where another agent has it open */
  #openDisk(): boolean {
    const { holder } = this.disk;
    const isFree = holder === null || holder === this.process || !holder.alive;
    if (isFree || this.#world.faults.shareDisks) {
      this.disk.holder = this.process;
      return true;
    }
    this.#world.situations.count('agent refused: its state is in use');
    this.#world.log(() => `${this.name} ends: ISOBAR_AGENT_STATE_IN_USE`);
    return false;
  }

  #tick(): void {
    const { scheduler, tickMs } = this.#world;
    scheduler.timer(this.process, tickMs.agent, () => this.#tick());
    this.step({ kind: 'tick' });
    if (this.#world.faults.agentsReadStore) this.#readStore();
  }

  /** A deliberate fault (against S6): what is open is looked up, and acted on. */
  #readStore(): void {
    const { cluster, reader } = this.#world;
    const version = this.#state.engine?.state.vote?.version;
    if (version === undefined) return;
    cluster.read(this.client, `map.${version}`, 5_000, (read) => {
      const { fence } = this.#state.durable;
      if (read.kind === 'failed' || read.stored === null || fence === null) return;
      const record = reader.record(read.stored.bytes);
      const message = { schema: 1, fence, record: read.stored.bytes } as const;
      this.step({ kind: 'outcome', message, record });
    });
  }

  /** Called by the world when the process is dead. */
  died(): void {
    this.port.died();
  }

  step(event: RankSwapEvent): void {
    const { machines, rules, scheduler } = this.#world;
    const before = this.#state;
    const { state, effects } = machines.stepRankSwap(before, event);
    this.#state = state;
    rules.agentStepped(this, event, before.durable, state.durable, effects);
    if (effects.length > 0) {
      scheduler.perform(this.process, effects, (effect) => this.#perform(effect));
    }
  }

  #lookFor(engines: readonly WitnessedEngine[]): void {
    for (const { incarnation } of engines) {
      if (this.port.isRunningHere(incarnation)) continue;
      this.#world.scheduler.toLife(this.process, 1, () =>
        this.step({ kind: 'engine-exited', incarnation }),
      );
    }
  }

  // The bus

  /** @param isOwn whether it came on the rank's own subject */
  hearOrder(event: RankSwapEvent, isOwn: boolean): void {
    if (isOwn && this.#isOlder) {
      this.#world.situations.count('own order unheard by an older agent');
      return;
    }
    this.step(event);
  }

  get #isOlder(): boolean {
    return this.#world.olderAgents.has(this.rank);
  }

  /** A leader's question; unanswered it is asked again. */
  ask(query: Query, answer: (answer: RankAnswer) => void): void {
    const question = this.#nextQuestion;
    this.#nextQuestion += 1;
    this.#questions.set(question, answer);
    this.step({ kind: 'query', query, question });
  }

  #askOutcomes(since: number): void {
    const { scheduler, coordinators, network } = this.#world;
    let settled = false;
    const settle = (event: RankSwapEvent) => {
      if (settled) return;
      settled = true;
      this.step(event);
    };
    scheduler.timer(this.process, questionMs, () => settle({ kind: 'outcomes-unanswered' }));
    const { life } = this.process;
    for (const coordinator of coordinators) {
      network.send(this.client, coordinator.client, () => {
        coordinator.askOutcomes(since, (fence: Fence, outcomes) => {
          network.send(coordinator.client, this.client, () => {
            if (this.process.life !== life) return;
            settle({ kind: 'outcomes-told', fence, outcomes });
          });
        });
      });
    }
  }

  /** Told to stop in an orderly way: it ends once its engine has left, or when that takes too long. */
  leave(): void {
    const { scheduler, situations } = this.#world;
    if (!this.process.alive || this.process.paused) return;
    situations.count('told to leave: agent');
    this.#world.log(() => `${this.name} is told to leave`);
    const { life } = this.process;
    this.step({ kind: 'leave' });
    scheduler.after(leaveDeadlineMs, () => {
      if (this.process.alive && this.process.life === life) scheduler.crash(this.process);
    });
  }

  #askLeave(question: LeaveQuestion): void {
    const { scheduler, coordinators, network } = this.#world;
    let settled = false;
    const settle = (answer: LeaveAnswer | null) => {
      if (settled) return;
      settled = true;
      this.step({ kind: 'leave-told', question, answer });
    };
    scheduler.timer(this.process, questionMs, () => settle(null));
    const { life } = this.process;
    for (const coordinator of coordinators) {
      network.send(this.client, coordinator.client, () => {
        coordinator.askLeave(question, (answer) => {
          network.send(coordinator.client, this.client, () => {
            if (this.process.life === life) settle(answer);
          });
        });
      });
    }
  }

  #logVote({ version, yes, reason }: Vote): void {
    this.#world.log(() => `${this.name} votes ${yes ? 'yes' : `no (${reason})`} on ${version}`);
  }

  #perform(effect: RankSwapEffect): void {
    const { rules, coordinators, network, situations } = this.#world;
    switch (effect.kind) {
      case 'persist':
        rules.agentPersists(this, this.disk.durable, effect.durable);
        this.disk.durable = effect.durable;
        return;
      case 'command-engine':
        this.port.command(effect.command);
        return;
      case 'send-vote': {
        const { vote } = effect;
        if (rules.agentVotes(this, vote)) this.#logVote(vote);
        for (const coordinator of coordinators) {
          network.send(this.client, coordinator.client, () => coordinator.hearVote(vote));
        }
        return;
      }
      case 'send-report': {
        const report = this.#isOlder ? asOlder(effect.report) : effect.report;
        for (const coordinator of coordinators) {
          if (!coordinator.listens) continue;
          network.send(this.client, coordinator.client, () => coordinator.hearReport(report));
        }
        return;
      }
      case 'look-for-processes':
        this.#lookFor(effect.engines);
        return;
      case 'ask-outcomes':
        this.#askOutcomes(effect.since);
        return;
      case 'answer': {
        const { question, answer } = effect;
        rules.agentAnswers(this, answer);
        this.#questions.get(question)?.(answer);
        this.#questions.delete(question);
        return;
      }
      case 'refused':
        situations.count(
          effect.fields.code === 'ISOBAR_AGENT_FENCED'
            ? `fenced message: ${effect.what}`
            : `order refused: ${effect.what}`,
        );
        this.#world.log(() => `${this.name} refuses: ${effect.what} ${fieldsOf(effect.fields)}`);
        return;
      case 'alarm':
        situations.count(`agent alarm: ${effect.alarm}`);
        this.#world.log(() => `${this.name} ALARM: ${effect.alarm} ${fieldsOf(effect.fields)}`);
        return;
      case 'ask-leave':
        this.#askLeave(effect.question);
        return;
      case 'left':
        situations.count('left by itself');
        this.#world.log(() => `${this.name}: the engine has left, ${effect.reason}`);
        if (this.#state.leaving.isAsked) this.#world.scheduler.crash(this.process);
        return;
      case 'activated':
        return;
      default:
        throw new RuleViolation(
          'machine',
          `${this.name}: an effect nobody performs: ${JSON.stringify(Object.values(effect)[0])}`,
        );
    }
  }
}

function asOlder({ ownOrders: _, ...report }: RankReport): RankReport {
  return report;
}

export function fieldsOf(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields, (_, value: unknown) =>
    value instanceof Uint8Array ? `${value.length} bytes` : value,
  );
}

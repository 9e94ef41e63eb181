import type { ExpertMapping } from '@isobar/eplb';
import type {
  Addressees,
  ControlRecord,
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorState,
  Fence,
  KnownOutcome,
  LeaveAnswer,
  LeaveQuestion,
  MapRecord,
  Member,
  RankAnswer,
  RankReport,
  RankSwapEvent,
  Vote,
} from '@isobar/protocol';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { BusClient } from '../network/message-network.js';
import { phaseOf } from '../phases.js';
import { RuleViolation } from '../rules/rule-violation.js';
import { watchCoordinator } from '../watch-situations.js';
import type { World } from '../world.js';
import { LeaveQuestions } from './leave-questions.js';
import { fieldsOf, type SimulatedAgent } from './simulated-agent.js';

/** What a leading coordinator's shell knows, for planning. */
export interface LeadersView {
  readonly version: number;
  readonly digest: string;
  readonly mapping: ExpertMapping;
  readonly members: readonly Member[];
}

type OutcomesReply = (fence: Fence, outcomes: readonly KnownOutcome[]) => void;

/** A coordinator's shell: what services/coordinator does around `stepCoordinator`. */
export class SimulatedCoordinator {
  readonly process: VirtualProcess;
  readonly client: BusClient;
  readonly #world: World;
  #state: CoordinatorState;
  #nextToken = 1_000_000;
  readonly #outcomesReplies = new Map<number, OutcomesReply>();
  readonly #leaves: LeaveQuestions;
  /** Incarnation whose report the step under way is about. */
  #witness: string | null = null;
  view: LeadersView | null = null;
  control: ControlRecord | null = null;

  constructor(world: World, process: VirtualProcess, client: BusClient) {
    this.#world = world;
    this.process = process;
    this.client = client;
    this.#leaves = new LeaveQuestions(world, this);
    this.#state = world.machines.initialCoordinator(world.coordinatorOptions(process));
  }

  get state(): CoordinatorState {
    return this.#state;
  }

  get name(): string {
    return this.process.name;
  }

  /** Takes part in leading, if only as one that is about to. */
  get listens(): boolean {
    const { kind } = this.#state.role;
    return kind !== 'standby' && kind !== 'stopped';
  }

  get leads(): boolean {
    return this.process.alive && this.#state.role.kind === 'leading';
  }

  start(): void {
    const { scheduler, random, machines, tickMs } = this.#world;
    scheduler.start(this.process);
    this.#world.log(() => `${this.name} starts`);
    this.#state = machines.initialCoordinator(this.#world.coordinatorOptions(this.process));
    this.view = null;
    this.control = null;
    this.#outcomesReplies.clear();
    this.#leaves.reset();
    this.#world.rules.offers.forget(this.name);
    scheduler.timer(this.process, random.next() * tickMs.coordinator, () => this.#tick());
  }

  #tick(): void {
    const { scheduler, tickMs } = this.#world;
    scheduler.timer(this.process, tickMs.coordinator, () => this.#tick());
    this.step({ kind: 'tick' });
  }

  step(event: CoordinatorEvent): void {
    const { machines, rules, scheduler } = this.#world;
    const before = this.#state;
    this.#witness = event.kind === 'report' ? (event.report.engine?.incarnation ?? null) : null;
    const nowMs = this.process.localMs(scheduler.nowMs);
    const { state, effects } = machines.stepCoordinator(before, event, nowMs);
    this.#state = this.#withSmallMessages(state);
    rules.coordinatorStepped(this, before, state, effects);
    if (state !== before) this.#notePhase(before, state);
    if (effects.length > 0) watchCoordinator(this.#world, before, state, effects);
    if (effects.length > 0) {
      scheduler.perform(this.process, effects, (effect) => this.#perform(effect));
    }
  }

  /**
   * A server of small messages is told to the leader alone: what is kept free for the outcomes of commands
   * is more than all that this model's swaps take.
   */
  #withSmallMessages(state: CoordinatorState): CoordinatorState {
    const { smallRoom } = this.#world;
    const { role } = state;
    if (smallRoom === null || role.kind !== 'leading' || role === this.#state.role) return state;
    const before = this.#state.role;
    if (before.kind === 'leading') return state;
    const { bytesMax } = this.#world.machines.roomForWaves(role.leader);
    const payloadBytesMax = role.leader.payloadBytesMax - bytesMax + smallRoom.bytesMax;
    return { ...state, role: { ...role, leader: { ...role.leader, payloadBytesMax } } };
  }

  #notePhase(before: CoordinatorState, after: CoordinatorState): void {
    if (before.role === after.role) return;
    const left = phaseOf(before);
    const entered = phaseOf(after);
    if (left === entered) return;
    if (entered !== null) this.#world.onPhase(entered);
    else if (left !== null) this.#world.situations.count(`leadership lost: ${left}`);
  }

  // Heard over the bus

  hearVote(vote: Vote): void {
    if (this.listens) this.step({ kind: 'vote', vote });
  }

  hearReport(report: RankReport): void {
    if (!this.listens) return;
    this.#world.rules.offers.heard(this.name, report.rank, report.engine);
    this.step({ kind: 'report', report });
  }

  askLeave(question: LeaveQuestion, reply: (answer: LeaveAnswer) => void): void {
    if (this.leads) this.#leaves.ask(question, reply);
  }

  askOutcomes(since: number, reply: OutcomesReply): void {
    if (!this.listens) return;
    const token = this.drawToken();
    this.#outcomesReplies.set(token, reply);
    this.step({ kind: 'outcomes-question', token, since });
  }

  drawToken(): number {
    this.#nextToken += 1;
    return this.#nextToken;
  }

  #toEachAgent(deliver: (agent: SimulatedAgent) => void, ranks: Addressees = null): void {
    const { agents, network } = this.#world;
    for (const agent of agents) {
      if (!agent.process.alive || ranks?.includes(agent.rank) === false) continue;
      network.send(this.client, agent.client, () => deliver(agent));
    }
  }

  #broadcast(event: RankSwapEvent): void {
    this.#sendTo(null, event);
  }

  #sendTo(ranks: Addressees, event: RankSwapEvent): void {
    this.#toEachAgent((agent) => agent.hearOrder(event, ranks !== null), ranks);
  }

  #perform(effect: CoordinatorEffect): void {
    const { cluster, machines, reader, rules, situations } = this.#world;
    const { client } = this;
    switch (effect.kind) {
      case 'read-leader': {
        const { token } = effect;
        cluster.read(client, 'leader', storeTimeoutMs, (result) => {
          if (result.kind === 'failed') this.step({ kind: 'leader-read-failed', token });
          else this.step({ kind: 'leader-read', token, stored: result.stored });
        });
        return;
      }
      case 'write-leader': {
        const { token, bytes, expectedRevision } = effect;
        cluster.compareAndSet(client, 'leader', bytes, expectedRevision, storeTimeoutMs, (result) =>
          this.step({ kind: 'leader-written', token, result }),
        );
        return;
      }
      case 'read-control': {
        const { token } = effect;
        cluster.read(client, 'control', storeTimeoutMs, (result) => {
          if (result.kind === 'failed') this.step({ kind: 'control-read-failed', token });
          else this.step({ kind: 'control-read', token, stored: result.stored });
        });
        return;
      }
      case 'write-control': {
        const { token, bytes, expectedRevision } = effect;
        cluster.compareAndSet(
          client,
          'control',
          bytes,
          expectedRevision,
          storeTimeoutMs,
          (result) => this.step({ kind: 'control-written', token, result }),
        );
        return;
      }
      case 'read-records':
        this.#readRecords(effect.token);
        return;
      case 'create-record': {
        const { token, version, bytes } = effect;
        this.#world.log(() => `${this.name} creates ${describeRecord(reader.record(bytes))}`);
        cluster.create(client, `map.${version}`, bytes, (result) => {
          if (result.kind === 'unknown') situations.count('write in doubt');
          this.step({ kind: 'record-settled', token, version, result });
        });
        return;
      }
      case 'prune-records':
        this.#prune(effect.retiredUpTo);
        return;
      case 'ask':
        this.#ask(effect.fence, effect.ranks);
        return;
      case 'send-prepare': {
        const { message } = effect;
        const proposal = reader.proposal(message.proposal);
        rules.coordinatorProposes(this, proposal, machines.roomForWaves);
        this.#sendTo(effect.ranks, { kind: 'prepare', message, proposal });
        return;
      }
      case 'send-outcome': {
        const { message } = effect;
        const record = reader.record(message.record);
        rules.outcomes.told(record, this.name);
        this.#sendTo(effect.ranks, { kind: 'outcome', message, record });
        return;
      }
      case 'send-retire':
        this.#broadcast({ kind: 'retire', message: effect.message });
        return;
      case 'send-state':
        this.#broadcast({ kind: 'swap-state', message: effect.message });
        return;
      case 'send-cut':
        this.#world.log(
          () => `${this.name} asks for the cut of rank ${effect.message.member.rank}`,
        );
        this.#broadcast({ kind: 'cut', message: effect.message });
        return;
      case 'outcomes-answer':
        this.#answerOutcomes(effect.token, effect.outcomes);
        return;
      case 'decided':
        this.#onDecided(effect.record);
        return;
      case 'claimed':
        this.#world.log(() => `${this.name} claims term ${effect.fence.term}`);
        return;
      case 'led': {
        const { ground, control } = effect;
        const { newest, mapping, members } = ground;
        this.view = { ...newest, mapping, members };
        this.control = control;
        this.#world.log(
          () => `${this.name} leads under term ${effect.fence.term} from version ${newest.version}`,
        );
        return;
      }
      case 'deposed':
        this.view = null;
        this.#world.log(() => `${this.name} no longer leads: ${effect.why}`);
        return;
      case 'control-changed':
        this.control = effect.control;
        return;
      case 'operation-done':
      case 'operation-refused':
        if (!this.#leaves.answered(effect)) this.#world.operator.answered(effect);
        return;
      case 'request-ended':
        this.#world.operator.ended(effect.token, effect.outcome);
        this.#world.log(() => `a request has ended: ${effect.outcome}, ${effect.reason}`);
        return;
      case 'swap-finished':
        situations.count(`swap ${effect.outcome}`);
        this.#world.log(() => `version ${effect.version} has ended: ${effect.outcome}`);
        return;
      case 'refused':
        situations.count(`leader refuses: ${effect.what}`);
        this.#world.log(() => `${this.name} refuses: ${effect.what} ${fieldsOf(effect.fields)}`);
        return;
      case 'order-refused': {
        const { rank, refused } = effect;
        situations.count(`leader told of a refusal: ${refused.order}`);
        this.#world.log(() => `rank ${rank} refuses: ${fieldsOf(refused)}`);
        return;
      }
      case 'alarm':
        situations.count(`leader alarm: ${effect.alarm}`);
        this.#world.log(() => `${this.name} ALARM: ${effect.alarm} ${fieldsOf(effect.fields)}`);
        this.#world.operator.alarmed(effect.alarm, effect.fields);
        return;
      case 'released':
        return;
      default:
        throw new RuleViolation(
          'machine',
          `${this.name}: an effect nobody performs: ${JSON.stringify(Object.values(effect)[0])}`,
        );
    }
  }

  #readRecords(token: number): void {
    const { cluster } = this.#world;
    cluster.list(this.client, 'map.', (maps) => {
      if (maps.kind === 'failed') {
        this.step({ kind: 'records-read-failed', token });
        return;
      }
      cluster.read(this.client, 'control', storeTimeoutMs, (control) => {
        if (control.kind === 'failed') this.step({ kind: 'records-read-failed', token });
        else this.step({ kind: 'records-read', token, maps: maps.values, control: control.stored });
      });
    });
  }

  #prune(retiredUpTo: number): void {
    const { cluster, reader, machines, situations } = this.#world;
    cluster.prune('map.', (maps) => {
      const newestFirst = maps
        .map((bytes) => reader.record(bytes))
        .map(({ version, outcome }) => ({ version, isCommitted: outcome === 'committed' }))
        .sort((a, b) => b.version - a.version);
      const oldest = machines.oldestKept(newestFirst, committedKept, retiredUpTo);
      const old = newestFirst.filter(({ version }) => version < oldest);
      for (const { version } of old) {
        situations.count('record pruned');
        this.#world.log(() => `${this.name} deletes the record of version ${version}`);
      }
      return old.map(({ version }) => `map.${version}`);
    });
  }

  #ask(fence: Fence, ranks: readonly number[]): void {
    const { agents, network } = this.#world;
    const query = { schema: 1, fence } as const;
    for (const agent of agents) {
      if (!ranks.includes(agent.rank)) continue;
      network.send(this.client, agent.client, () => {
        agent.ask(query, (answer) => {
          const fenced = answer.fence !== null && answer.fence.term > fence.term;
          if (fenced) this.#world.situations.count('fenced message: query');
          network.send(agent.client, this.client, () => {
            if (this.listens) this.#hearAnswer(answer);
          });
        });
      });
    }
  }

  #hearAnswer(answer: RankAnswer): void {
    const { rank, engine } = answer;
    const told =
      engine === null
        ? null
        : {
            incarnation: engine.description.incarnation,
            offeredSlots: engine.state.offeredSlots,
          };
    this.#world.rules.offers.heard(this.name, rank, told);
    this.step({ kind: 'answer', answer });
  }

  #answerOutcomes(token: number, outcomes: readonly KnownOutcome[]): void {
    const reply = this.#outcomesReplies.get(token);
    this.#outcomesReplies.delete(token);
    const { role } = this.#state;
    if (reply === undefined || !('fence' in role)) return;
    const { reader, rules } = this.#world;
    for (const { record } of outcomes) rules.outcomes.told(reader.record(record), this.name);
    reply(role.fence, outcomes);
  }

  #onDecided(record: MapRecord): void {
    const { rules, reader } = this.#world;
    rules.outcomes.announced(record, this.name, this.#witness);
    if (record.outcome !== 'committed') return;
    const { version, digest, members } = record;
    this.view = { version, digest, members, mapping: reader.mapping(record) };
  }
}

const storeTimeoutMs = 5_000;
/** Far fewer than in earnest: a run has few versions. */
const committedKept = 2;

export function describeRecord(record: MapRecord): string {
  const { version, outcome, fence } = record;
  const what = record.outcome === 'committed' ? record.change : record.reason;
  return `map.${version} as ${outcome} (${what}) under term ${fence.term}`;
}

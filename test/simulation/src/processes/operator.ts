import { closedSlots, revalidateMapping } from '@isobar/eplb';
import type {
  ControlChange,
  IsobarError,
  LeaderRequest,
  Member,
  Operation,
  OperationCommand,
  Wave,
} from '@isobar/protocol';
import { usableSlots } from '@isobar/protocol';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import { present } from '../present.js';
import type { World } from '../world.js';
import { type PlanningLimits, rearrange, wavesTo } from './planner.js';
import type { LeadersView, SimulatedCoordinator } from './simulated-coordinator.js';

type Request = Omit<LeaderRequest, 'kind' | 'token' | 'askedBy'>;

/** What is asked of whoever leads, again until somebody takes it. */
export type Wish =
  | { readonly kind: 'rebalance'; readonly automatic: boolean }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'drain'; readonly rank: number }
  | { readonly kind: 'undrain'; readonly rank: number }
  | { readonly kind: 'leave'; readonly rank: number }
  | { readonly kind: 'limit-slots'; readonly rank: number; readonly slots: number | null }
  | { readonly kind: 'pause' | 'resume' }
  | { readonly kind: 'declare-dead'; readonly member: Member }
  | { readonly kind: 'cancel' };

interface Asked {
  readonly wish: Wish;
  readonly attempts: number;
  /** The same however often it is asked: whoever leads does it once. */
  readonly command?: OperationCommand;
}

const againMs = 4_000;
const attemptsMax = 12;
const lookEveryMs = 17_000;
/** Alarms that a dead member may be behind. */
const tellOfDeaths = new Set(['death-unproven', 'members-silent', 'slow-phase']);

/** People and planners: they ask the leader for changes, and vouch for deaths that they have seen. */
export class Operator {
  readonly #world: World;
  readonly #asked = new Map<number, Asked>();
  /** Requests for swaps that a leader has accepted. */
  swapsAccepted = 0;
  /** Commands that a leadership has told to have taken, by their ids. */
  readonly #accepted = new Set<string>();
  readonly #inquiries = new Map<number, SimulatedCoordinator>();
  /** Members that an alarm has named, and nobody has vouched for yet. */
  #suspects: Member[] = [];
  #commands = 0;
  /** Rollbacks that have not ended, by token. */
  readonly #rollbacks = new Map<
    number,
    { readonly leader: SimulatedCoordinator; readonly command: OperationCommand }
  >();

  constructor(world: World) {
    this.#world = world;
    world.scheduler.after(lookEveryMs, () => this.#look());
  }

  get leader(): SimulatedCoordinator | null {
    const { coordinators } = this.#world;
    const leading = coordinators.filter((coordinator) => coordinator.leads);
    leading.sort((a, b) => termOf(b) - termOf(a));
    return leading[0] ?? null;
  }

  /** Asked of whoever leads, without a request id. */
  ask(wish: Wish): void {
    this.#try({ wish, attempts: 0 });
  }

  /** Asked under a request id, and after so long again: as if no answer had come. */
  askTwice(wish: Wish, inDoubtMs: number): void {
    const asked = { wish, attempts: 0, command: this.#command(wish.kind) };
    this.#try(asked);
    this.#world.scheduler.after(inDoubtMs, () => this.#try({ ...asked, attempts: attemptsMax }));
  }

  #command(kind: Wish['kind']): OperationCommand {
    this.#commands += 1;
    const requester = { verified: false, account: null, user: 'operator', host: null };
    return { id: `command-${this.#commands}`, digest: '0'.repeat(64), command: kind, requester };
  }

  #try(asked: Asked): void {
    const { wish } = asked;
    const command = asked.command === undefined ? {} : { command: asked.command };
    const { leader } = this;
    const view = leader?.view ?? null;
    if (leader === null || view === null || leader.process.paused) {
      this.#tryLater(asked);
      return;
    }
    const token = leader.drawToken();
    this.#asked.set(token, asked);
    this.#world.log(() => `an operator asks ${leader.name}: ${describeWish(wish)}`);
    if (wish.kind === 'cancel') {
      const cancel = { reason: 'an operator asked' };
      leader.step({ kind: 'operate', token, change: null, request: null, cancel, ...command });
      return;
    }
    const operation = this.#operation({ ...asked, wish }, leader, view);
    if (operation !== null) leader.step({ kind: 'operate', token, ...operation, ...command });
  }

  #tryLater(asked: Asked): void {
    if (asked.wish.kind === 'cancel') return;
    if (asked.attempts >= attemptsMax) return;
    const next = { ...asked, attempts: asked.attempts + 1 };
    this.#world.scheduler.after(againMs, () => this.#try(next));
  }

  #operation(
    { wish, command }: Asked & { readonly wish: Exclude<Wish, { readonly kind: 'cancel' }> },
    leader: SimulatedCoordinator,
    view: LeadersView,
  ): Omit<Operation, 'token'> | null {
    const base = { version: view.version, digest: view.digest };
    switch (wish.kind) {
      case 'rebalance':
        return this.#rebalance(leader, view, { base, automatic: wish.automatic });
      case 'rollback':
        return this.#rollback(leader, view, command);
      case 'drain':
      case 'leave':
        return this.#emptying(wish.kind, wish.rank, base);
      case 'declare-dead':
        return changing({ kind: 'declare-dead', member: wish.member });
      case 'limit-slots': {
        const { rank, slots } = wish;
        const request: Request | null =
          slots === null ? null : { change: 'limit-slots', ranks: [rank], base };
        return { change: { kind: 'limit-slots', rank, slots }, request };
      }
      case 'undrain':
        return changing({ kind: 'undrain', ranks: [wish.rank] });
      case 'pause':
      case 'resume':
        return changing({ kind: wish.kind });
    }
  }

  #rebalance(
    leader: SimulatedCoordinator,
    view: LeadersView,
    asked: Pick<Request, 'base' | 'automatic'>,
  ): Omit<Operation, 'token'> | null {
    const { random } = this.#world;
    const drained = leader.control?.drained ?? [];
    const closed = closedSlotsFor(leader);
    const limits = this.#planningLimits(leader);
    let waves: Wave[] = [];
    // Where every rank holds every expert already, most changes move nothing.
    for (let attempt = 0; attempt < 20 && waves.length === 0; attempt += 1) {
      const room = { drained, closedSlots: closed };
      const target = rearrange(view.mapping, view.members, room, random);
      waves = wavesTo(view.mapping, target, 'rebalance', 'a better balance', limits);
    }
    if (waves.length > 0)
      return { change: null, request: { change: 'rebalance', waves, ...asked } };
    this.#world.situations.count('nothing to move');
    this.swapsAccepted += 1;
    return null;
  }

  /** To a version below the newest, whichever: read from the store by the leader's shell. */
  #rollback(
    leader: SimulatedCoordinator,
    view: LeadersView,
    command: OperationCommand | undefined,
  ): null {
    const { cluster, random, reader } = this.#world;
    const version = 1 + random.integer(Math.max(1, view.version - 1));
    const { life } = leader.process;
    cluster.read(leader.client, `map.${version}`, 5_000, (read) => {
      if (read.kind === 'failed' || read.stored === null || !leader.leads) return;
      const record = reader.record(read.stored.bytes);
      const now = leader.view;
      if (record.outcome !== 'committed' || now === null || leader.process.life !== life) return;
      const ranks = now.members.map(({ rank }) => rank);
      const earlier = revalidateMapping(
        reader.mapping(record),
        { memberRanks: ranks, closedSlots: closedSlotsFor(leader) },
        now.mapping,
      );
      if (earlier.kind === 'degraded') return;
      const limits = this.#planningLimits(leader);
      const reason = `back to version ${version}`;
      const waves = wavesTo(now.mapping, earlier.mapping, 'rollback', reason, limits);
      const base = { version: now.version, digest: now.digest };
      const token = leader.drawToken();
      const given = command === undefined ? {} : { command };
      this.#asked.set(token, { wish: { kind: 'rollback' }, attempts: attemptsMax, ...given });
      if (command !== undefined) this.#rollbacks.set(token, { leader, command });
      leader.step({
        kind: 'operate',
        token,
        change: { kind: 'hold', reason },
        request: { change: 'rollback', waves, base },
        ...given,
      });
    });
    return null;
  }

  #planningLimits({ state }: SimulatedCoordinator): PlanningLimits {
    const { machines, shape } = this.#world;
    if (state.role.kind !== 'leading') throw new Error('planned by one that does not lead');
    const incomingMax = shape.spareBuffers - shape.reserveBuffers;
    return { incomingMax, room: machines.roomForWaves(state.role.leader) };
  }

  #emptying(
    change: 'drain' | 'leave',
    rank: number,
    base: Request['base'],
  ): Omit<Operation, 'token'> {
    if (change === 'leave') this.#world.supervisor.letLeave(rank);
    const control: ControlChange | null =
      change === 'drain' ? { kind: 'drain', ranks: [rank] } : null;
    return { change: control, request: { change, ranks: [rank], base } };
  }

  answered(
    effect:
      | {
          readonly kind: 'operation-done';
          readonly token: number;
          readonly isRepeated: boolean;
        }
      | { readonly kind: 'operation-refused'; readonly token: number; readonly error: IsobarError },
  ): void {
    const inquired = this.#inquiries.get(effect.token);
    this.#inquiries.delete(effect.token);
    if (inquired !== undefined && effect.kind === 'operation-refused') {
      this.#declareDead(inquired, membersIn(effect.error.fields));
    }
    const asked = this.#asked.get(effect.token);
    this.#asked.delete(effect.token);
    if (asked === undefined) return;
    const { situations } = this.#world;
    if (effect.kind === 'operation-done' && effect.isRepeated) {
      situations.count(`known: ${asked.wish.kind}`);
      this.#askAnew(asked);
      return;
    }
    if (effect.kind === 'operation-done') {
      situations.count(`accepted: ${asked.wish.kind}`);
      if (asked.wish.kind === 'declare-dead') this.#world.rules.vouchedFor(asked.wish.member);
      if (asked.wish.kind === 'rebalance') this.swapsAccepted += 1;
      if (asked.command !== undefined) this.#accepted.add(asked.command.id);
      return;
    }
    situations.count(`refused: ${asked.wish.kind}`);
    this.#world.log(() => `refused: ${effect.error.message}`);
    this.#tryLater(asked);
  }

  /** A rebalance that a leadership took which ended before it could say so has come to nothing. */
  #askAnew(asked: Asked): void {
    const { wish, command } = asked;
    if (wish.kind !== 'rebalance' || command === undefined || this.#accepted.has(command.id))
      return;
    this.#accepted.add(command.id);
    this.#tryLater({ wish, attempts: 0, command: this.#command(wish.kind) });
  }

  ended(token: number, outcome: string): void {
    this.#world.situations.count(`request ${outcome}`);
    const rollback = this.#rollbacks.get(token);
    this.#rollbacks.delete(token);
    if (rollback === undefined || outcome !== 'outdated') return;
    // It is not planned anew here: it has come to nothing.
    const { leader, command } = rollback;
    const ended = { outcome, reason: 'another version was first' } as const;
    const given = { ...command, goesOn: true, ended } as const;
    const ending = leader.drawToken();
    leader.step({ kind: 'operate', token: ending, change: null, request: null, command: given });
  }

  /** What the ranks can't prove or can't mend: it is looked into. */
  alarmed(alarm: string, fields: IsobarError['fields']): void {
    if (tellOfDeaths.has(alarm)) this.#suspects.push(...membersIn(fields));
  }

  #look(): void {
    const { scheduler, coordinators } = this.#world;
    scheduler.after(lookEveryMs, () => this.#look());
    for (const coordinator of coordinators) {
      const { process, state } = coordinator;
      if (process.alive && !process.paused && state.role.kind === 'taking-over') {
        this.#askWhomItWaitsFor(coordinator);
      }
    }
    this.#declareDead(this.leader, this.#suspects);
  }

  /** Any command that a new leader can't take yet is refused with whose answers are missing. */
  #askWhomItWaitsFor(coordinator: SimulatedCoordinator): void {
    const token = coordinator.drawToken();
    this.#inquiries.set(token, coordinator);
    coordinator.step({ kind: 'operate', token, change: { kind: 'resume' }, request: null });
  }

  /** An operator takes an engine for dead that stands still: asked of whoever takes over. */
  vouchFor({ rank, incarnation }: SimulatedEngine): void {
    const { coordinators, rules } = this.#world;
    rules.outcomes.countOut(incarnation);
    for (const coordinator of coordinators) {
      const { process, state } = coordinator;
      if (!process.alive || process.paused || state.role.kind !== 'taking-over') continue;
      this.#vouch(coordinator, { rank, incarnation });
    }
  }

  #vouch(coordinator: SimulatedCoordinator, member: Member): void {
    this.#world.log(() => `an operator vouches for the death of rank ${member.rank}`);
    const token = coordinator.drawToken();
    this.#asked.set(token, { wish: { kind: 'declare-dead', member }, attempts: attemptsMax });
    const change = { kind: 'declare-dead', member } as const;
    coordinator.step({ kind: 'operate', token, change, request: null });
  }

  /** Members whose processes are gone, though nobody beside them can say so. */
  #declareDead(coordinator: SimulatedCoordinator | null, members: readonly Member[]): void {
    if (coordinator === null) return;
    for (const member of members) {
      const lives = this.#world.engines.some(
        ({ process, incarnation }) => process.alive && incarnation === member.incarnation,
      );
      if (lives) continue;
      this.#suspects = this.#suspects.filter(
        ({ incarnation }) => incarnation !== member.incarnation,
      );
      this.#vouch(coordinator, member);
    }
  }
}

/** As the leader knows them. */
function closedSlotsFor({ state }: SimulatedCoordinator): Int32Array {
  if (state.role.kind !== 'leading') return new Int32Array(0);
  const { mapping, evidence, control } = state.role.leader;
  const { slotOffsets } = mapping;
  return closedSlots({ slotOffsets, usableSlots: usableSlots(mapping, evidence, control) });
}

function changing(change: ControlChange): Omit<Operation, 'token'> {
  return { change, request: null };
}

function termOf({ state }: SimulatedCoordinator): number {
  return 'fence' in state.role ? present(state.role.fence).term : 0;
}

function membersIn({ members }: IsobarError['fields']): Member[] {
  return Array.isArray(members) ? members.filter(isMember) : [];
}

function isMember(value: unknown): value is Member {
  if (typeof value !== 'object' || value === null || !('rank' in value)) return false;
  // A rank whose engine nobody knows is told without an incarnation.
  return 'incarnation' in value && typeof value.incarnation === 'string';
}

function describeWish(wish: Wish): string {
  if ('rank' in wish) return `${wish.kind} rank ${wish.rank}`;
  if ('member' in wish) return `${wish.kind} rank ${wish.member.rank}`;
  return wish.kind;
}

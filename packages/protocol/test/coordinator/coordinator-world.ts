import {
  type ControlChange,
  type ControlRecord,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorOptions,
  type CoordinatorState,
  controlRecordSchema,
  decode,
  decodeProposal,
  type Fence,
  initialCoordinator,
  isFenced,
  type LeaderRequest,
  type LeaderState,
  type StoredBytes,
  stepCoordinator,
  type WriteResult,
} from '@isobar/protocol';
import { Group, timings as leaderTimings } from '../support/group.js';

export const leaseTimings = {
  leaseMs: 3_000,
  renewDeadlineMs: 2_000,
  renewMs: 1_000,
  retryMs: 400,
};

/** What becomes of the next access of that kind. `lost`: it takes place, nobody is told. */
export type Fate = 'done' | 'lost' | 'held';

type StoreEffect = Extract<
  CoordinatorEffect,
  {
    readonly kind:
      | 'read-leader'
      | 'write-leader'
      | 'read-records'
      | 'create-record'
      | 'read-control'
      | 'write-control';
  }
>;

/** The records of a deployment, one sequence of revisions for all. */
export class TestStore {
  readonly records = new Map<string, StoredBytes>();
  #revision = 0;

  put(key: string, bytes: Uint8Array): number {
    this.#revision += 1;
    this.records.set(key, { bytes, revision: this.#revision });
    return this.#revision;
  }

  write(key: string, bytes: Uint8Array, expectedRevision: number): WriteResult {
    const { revision = 0 } = this.records.get(key) ?? {};
    if (revision !== expectedRevision) return { kind: 'conflict' };
    return { kind: 'set', revision: this.put(key, bytes) };
  }

  get(key: string): StoredBytes | null {
    return this.records.get(key) ?? null;
  }

  get control(): ControlRecord {
    const stored = this.get('control');
    if (stored === null) throw new Error('there is no control record');
    return decode('control record', stored.bytes, controlRecordSchema);
  }
}

/** One coordinator on its own clock, over a store and ranks that do what they are told. */
export class TestCoordinator {
  state: CoordinatorState;
  nowMs = 0;
  readonly effects: CoordinatorEffect[] = [];
  /** By kind of effect; what is not named is done. */
  readonly fates = new Map<StoreEffect['kind'], Fate>();
  /** Answers that are held back, in their order. */
  readonly held: CoordinatorEvent[] = [];
  readonly #store: TestStore;
  readonly #group: Group;
  readonly #queue: CoordinatorEvent[] = [];
  #isRunning = false;

  constructor(
    store: TestStore,
    group: Group,
    name: string,
    more: Partial<CoordinatorOptions> = {},
  ) {
    this.#store = store;
    this.#group = group;
    this.state = initialCoordinator({
      holder: name,
      nonce: Buffer.from(name.padEnd(8)).toString('hex'),
      timings: { lease: leaseTimings, leader: leaderTimings, askMs: 200 },
      configuredRanks: group.ranks.map(({ rank }) => rank),
      payloadBytesMax: 1_048_576,
      mode: 'automatic',
      ...more,
    });
  }

  get role(): CoordinatorState['role']['kind'] {
    return this.state.role.kind;
  }

  get fence(): Fence {
    const { role } = this.state;
    if (!('fence' in role)) throw new Error(`a ${role.kind} has no fence`);
    return role.fence;
  }

  get leader(): LeaderState {
    const { role } = this.state;
    if (role.kind !== 'leading') throw new Error(`it is ${role.kind}`);
    return role.leader;
  }

  effectsOf<Kind extends CoordinatorEffect['kind']>(
    kind: Kind,
  ): Extract<CoordinatorEffect, { readonly kind: Kind }>[] {
    return this.effects.filter(
      (effect): effect is Extract<CoordinatorEffect, { readonly kind: Kind }> =>
        effect.kind === kind,
    );
  }

  /** Time passes in steps; all ranks report after each. */
  run(forMs: number, done?: () => boolean): void {
    for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs += 100) {
      this.nowMs += 100;
      this.send({ kind: 'tick' });
      for (const { rank, isSilent } of this.#group.ranks) {
        if (!isSilent) this.send({ kind: 'report', report: this.#group.report(rank) });
      }
      if (done?.() === true) return;
    }
  }

  /** Time passes without the process being run: a pause. */
  sleep(forMs: number): void {
    this.nowMs += forMs;
  }

  lead(): void {
    this.run(10_000, () => this.role === 'leading');
    this.run(3_000);
    if (this.role !== 'leading') throw new Error(`it is ${this.role}`);
  }

  send(event: CoordinatorEvent): void {
    this.#queue.push(event);
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { state, effects } = stepCoordinator(this.state, next, this.nowMs);
      this.state = state;
      this.effects.push(...effects);
      for (const effect of effects) this.#perform(effect);
    }
    this.#isRunning = false;
  }

  #perform(effect: CoordinatorEffect): void {
    switch (effect.kind) {
      case 'read-leader':
      case 'write-leader':
      case 'read-records':
      case 'create-record':
      case 'read-control':
      case 'write-control':
        this.#access(effect);
        return;
      case 'ask':
        for (const rank of effect.ranks) this.#ask(rank, effect.fence);
        return;
      case 'send-prepare':
        for (const { rank } of this.#group.addressed(effect.ranks)) {
          this.#prepare(rank, effect.message.fence, effect.message.proposal);
        }
        return;
      case 'send-outcome':
        for (const { rank } of this.#group.addressed(effect.ranks)) {
          if (this.#hears(rank, effect.message.fence)) this.#group.act(rank, effect.message.record);
        }
        return;
      case 'send-cut':
        this.#group.cut(effect.message.member, effect.message.fence);
        return;
      case 'send-retire':
        for (const from of this.#group.ranks) {
          if (!this.#hears(from.rank, effect.message.fence)) continue;
          if (from.activatedVersion >= effect.message.version) {
            from.retiredUpTo = Math.max(from.retiredUpTo, effect.message.version);
          }
        }
        return;
      default:
        return;
    }
  }

  #access(effect: StoreEffect): void {
    const fate = this.fates.get(effect.kind) ?? 'done';
    const answer = this.#answerOf(effect);
    if (fate === 'done') this.#queue.push(answer);
    else if (fate === 'held') this.held.push(answer);
    else this.#queue.push(inDoubt(effect));
  }

  #answerOf(effect: StoreEffect): CoordinatorEvent {
    const store = this.#store;
    const { token } = effect;
    switch (effect.kind) {
      case 'read-leader':
        return { kind: 'leader-read', token, stored: store.get('leader') };
      case 'read-control':
        return { kind: 'control-read', token, stored: store.get('control') };
      case 'write-leader': {
        const result = store.write('leader', effect.bytes, effect.expectedRevision);
        return { kind: 'leader-written', token, result };
      }
      case 'write-control': {
        const result = store.write('control', effect.bytes, effect.expectedRevision);
        return { kind: 'control-written', token, result };
      }
      case 'read-records': {
        const maps = [...store.records].filter(([key]) => key.startsWith('map.'));
        const control = store.get('control');
        return {
          kind: 'records-read',
          token,
          maps: maps.map(([, { bytes }]) => bytes),
          control,
        };
      }
      case 'create-record': {
        const { version, bytes } = effect;
        const existing = store.get(`map.${version}`);
        const settled = { kind: 'record-settled', token, version } as const;
        if (existing !== null) {
          return { ...settled, result: { kind: 'exists', bytes: existing.bytes } };
        }
        store.put(`map.${version}`, bytes);
        return { ...settled, result: { kind: 'created' } };
      }
    }
  }

  /** Whether the rank takes a message of that leader; taking it raises what it knows. */
  #hears(rank: number, fence: Fence): boolean {
    const from = this.#group.rank(rank);
    if (from.isSilent || from.isGone || isFenced(from.fence, fence)) return false;
    from.fence = fence;
    return true;
  }

  #ask(rank: number, fence: Fence): void {
    const { isSilent } = this.#group.rank(rank);
    if (isSilent) return;
    this.#hears(rank, fence);
    this.#queue.push({ kind: 'answer', answer: this.#group.answer(rank) });
  }

  #prepare(rank: number, fence: Fence, bytes: Uint8Array): void {
    const from = this.#group.rank(rank);
    const proposal = decodeProposal(bytes);
    const isListed = proposal.members.some(({ incarnation }) => incarnation === from.incarnation);
    if (!isListed || proposal.base.version !== from.base.version) return;
    if (!this.#hears(rank, fence) || from.refusal !== null) return;
    const { version, digest, base } = proposal;
    const { incarnation } = from;
    if (from.vote === null && version > from.votedUpTo) {
      from.vote = { version, digest, base, incarnation, proposal: bytes };
      from.votedUpTo = version;
    }
    if (from.vote?.version !== version) return;
    const vote = { rank, incarnation, version, digest, base, yes: true, reason: '' };
    this.#queue.push({ kind: 'vote', vote: { schema: 1, fence, ...vote } });
  }
}

function inDoubt(effect: StoreEffect): CoordinatorEvent {
  const { token } = effect;
  switch (effect.kind) {
    case 'read-leader':
      return { kind: 'leader-read-failed', token };
    case 'write-leader':
      return { kind: 'leader-written', token, result: { kind: 'unknown' } };
    case 'read-control':
      return { kind: 'control-read-failed', token };
    case 'write-control':
      return { kind: 'control-written', token, result: { kind: 'unknown' } };
    case 'read-records':
      return { kind: 'records-read-failed', token };
    case 'create-record':
      return {
        kind: 'record-settled',
        token,
        version: effect.version,
        result: { kind: 'unknown' },
      };
  }
}

export function testWorld(numRanks = 3): {
  readonly store: TestStore;
  readonly group: Group;
  readonly a: TestCoordinator;
  readonly b: TestCoordinator;
} {
  const store = new TestStore();
  const group = new Group(numRanks);
  const a = new TestCoordinator(store, group, 'a');
  const b = new TestCoordinator(store, group, 'b');
  return { store, group, a, b };
}

/** With a leader that has recorded the start as version 1. */
export function leadingWorld(numRanks = 3) {
  const world = testWorld(numRanks);
  world.a.lead();
  return world;
}

export function operate(
  coordinator: TestCoordinator,
  token: number,
  change: ControlChange | null,
  request: Omit<LeaderRequest, 'kind' | 'token'> | null = null,
): void {
  coordinator.send({ kind: 'operate', token, change, request });
}

export function cancel(coordinator: TestCoordinator, token: number, reason: string): void {
  coordinator.send({ kind: 'operate', token, change: null, request: null, cancel: { reason } });
}

export function takeTurns(coordinators: readonly TestCoordinator[], forMs: number): void {
  for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs += 100) {
    for (const coordinator of coordinators) coordinator.run(100);
  }
}

export function settledTokens(coordinator: TestCoordinator): string[] {
  return coordinator.effects.flatMap((effect) => {
    if (effect.kind === 'operation-done') return [`done ${effect.token}`];
    if (effect.kind !== 'operation-refused') return [];
    return [`refused ${effect.token} ${effect.error.code}`];
  });
}

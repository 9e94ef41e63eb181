import {
  decode,
  type Fence,
  heldFence,
  initialLease,
  type LeaseEffect,
  type LeaseEvent,
  type LeaseState,
  type LeaseTimings,
  leaderRecordSchema,
  type StoredBytes,
  stepLease,
} from '@isobar/protocol';

export const timings: LeaseTimings = {
  leaseMs: 15_000,
  renewDeadlineMs: 10_000,
  renewMs: 5_000,
  retryMs: 2_000,
};

type Access = Extract<LeaseEffect, { readonly kind: 'read-leader' | 'write-leader' }>;

/** What becomes of an access. `lost`: a write takes place, `later`: it may yet, and nobody is told. */
export type Fate = 'done' | 'lost' | 'failed' | 'later';

/** One record of a store, with revisions that count all writes. */
export class LeaseStore {
  stored: StoredBytes | null = null;
  #revision = 0;
  readonly late: { readonly bytes: Uint8Array; readonly expectedRevision: number }[] = [];

  write(bytes: Uint8Array, expectedRevision: number): number | null {
    if ((this.stored?.revision ?? 0) !== expectedRevision) return null;
    this.#revision += 1;
    this.stored = { bytes, revision: this.#revision };
    return this.#revision;
  }

  /** Acknowledged writes are gone: the record is as it was. */
  goBack(stored: StoredBytes | null): void {
    this.stored = stored;
    this.#revision = stored?.revision ?? 0;
  }

  /** A write that was in doubt takes place, or is refused. */
  land(): void {
    const write = this.late.shift();
    if (write !== undefined) this.write(write.bytes, write.expectedRevision);
  }

  get record() {
    return this.stored === null
      ? null
      : decode('leader record', this.stored.bytes, leaderRecordSchema);
  }
}

/** One process on its own clock, which may run at another rate, and an account of what it did. */
export class Candidate {
  state: LeaseState;
  readonly told: string[] = [];
  fate: Fate = 'done';
  /** Seconds of its own clock in one of the world's. */
  rate = 1;
  #nowMs = 0;
  readonly #store: LeaseStore;

  constructor(store: LeaseStore, name: string) {
    this.#store = store;
    const nonce = Buffer.from(name.padEnd(8)).toString('hex');
    this.state = initialLease({ holder: name, nonce, timings });
  }

  get fence(): Fence | null {
    return heldFence(this.state, this.#nowMs);
  }

  get leads(): boolean {
    return this.fence !== null;
  }

  /** Lets time pass without the process being run: a pause. */
  sleep(worldMs: number): void {
    this.#nowMs += worldMs * this.rate;
  }

  tick(): void {
    this.send({ kind: 'tick' });
  }

  send(event: LeaseEvent): void {
    const { state, effects } = stepLease(this.state, event, this.#nowMs);
    this.state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: LeaseEffect): void {
    switch (effect.kind) {
      case 'read-leader':
      case 'write-leader':
        this.#access(effect);
        return;
      case 'lease-held':
        this.told.push(`held ${effect.fence.term}`);
        return;
      case 'lease-lost':
        this.told.push(`lost ${effect.fence.term}: ${effect.why}`);
        return;
      case 'lease-released':
        this.told.push('released');
        return;
      case 'leader-unreadable':
        this.told.push(`unreadable: ${effect.error.code}`);
        return;
    }
  }

  #access(effect: Access): void {
    const { token } = effect;
    if (effect.kind === 'read-leader') {
      if (this.fate === 'failed') this.send({ kind: 'leader-read-failed', token });
      else this.send({ kind: 'leader-read', token, stored: this.#store.stored });
      return;
    }
    const { bytes, expectedRevision } = effect;
    if (this.fate === 'failed') {
      this.send({ kind: 'leader-written', token, result: { kind: 'refused' } });
      return;
    }
    if (this.fate === 'later') this.#store.late.push({ bytes, expectedRevision });
    const revision = this.fate === 'later' ? null : this.#store.write(bytes, expectedRevision);
    const result =
      this.fate !== 'done'
        ? ({ kind: 'unknown' } as const)
        : revision === null
          ? ({ kind: 'conflict' } as const)
          : ({ kind: 'set', revision } as const);
    this.send({ kind: 'leader-written', token, result });
  }
}

/** Runs all candidates in steps, until `done` or the time is over. */
export function run(candidates: readonly Candidate[], worldMs: number, done?: () => boolean): void {
  const stepMs = 100;
  for (let elapsedMs = 0; elapsedMs < worldMs; elapsedMs += stepMs) {
    for (const candidate of candidates) {
      candidate.sleep(stepMs);
      candidate.tick();
    }
    if (done?.() === true) return;
  }
}

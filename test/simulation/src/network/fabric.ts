import type { Random } from '@isobar/trace';
import type { Scheduler } from '../kernel/scheduler.js';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { Reachability } from './reachability.js';

/** One end of the engines' own connections. */
export interface FabricEnd {
  /** Place in the fabric, 0 … ends − 1. */
  readonly station: number;
  readonly host: number;
  readonly process: VirtualProcess;
  /** Whether this end takes a connection with that peer, as both are now. */
  accepts(peer: FabricEnd): boolean;
  onLinked(peer: FabricEnd): void;
  onUnlinked(peer: FabricEnd): void;
}

/** A connection of two lives; each end learns of its end by itself. */
interface Link {
  readonly ends: readonly [FabricEnd, FabricEnd];
  readonly lives: readonly [number, number];
  readonly up: [boolean, boolean];
  /** When the last message of each end arrives: a stream keeps its order. */
  readonly lastAtMs: [number, number];
}

const redial = { leastMs: 200, spreadMs: 1_300, againMs: 2_000 };
const silence = { leastMs: 1_500, spreadMs: 2_500 };
/** A packet that a partition holds up is sent again. */
const resendMs = 250;

/** Streams between engines: ordered, cut by deaths, by refusals, and by partitions that last. */
export class Fabric {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #reachability: Reachability;
  readonly #ends: FabricEnd[] = [];
  readonly #links = new Map<number, Link>();
  readonly #dialling = new Set<number>();

  constructor(scheduler: Scheduler, random: Random, reachability: Reachability) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#reachability = reachability;
  }

  add(end: FabricEnd): void {
    this.#ends.push(end);
  }

  #pair(one: FabricEnd, other: FabricEnd): number {
    const [low, high] = one.station < other.station ? [one, other] : [other, one];
    return low.station * 1_024 + high.station;
  }

  /** Whether `end` holds its connection with `peer` for standing. */
  isLinked(end: FabricEnd, peer: FabricEnd): boolean {
    const link = this.#links.get(this.#pair(end, peer));
    return link === undefined ? false : link.up[sideOf(link, end)];
  }

  /** Whether both ends hold their connection for standing. */
  isMutual(one: FabricEnd, other: FabricEnd): boolean {
    const link = this.#links.get(this.#pair(one, other));
    return link === undefined ? false : link.up[0] && link.up[1];
  }

  /** A process that has started looks for its peers. */
  started(end: FabricEnd): void {
    for (const peer of this.#ends) if (peer !== end) this.#dial(end, peer);
  }

  #dial(end: FabricEnd, peer: FabricEnd): void {
    const pair = this.#pair(end, peer);
    if (this.#dialling.has(pair)) return;
    this.#dialling.add(pair);
    const delayMs = redial.leastMs + this.#random.next() * redial.spreadMs;
    this.#scheduler.after(delayMs, () => this.#connect(pair, end, peer));
  }

  #connect(pair: number, end: FabricEnd, peer: FabricEnd): void {
    const old = this.#links.get(pair);
    if (!end.process.alive || !peer.process.alive || (old?.up[0] && old.up[1])) {
      this.#dialling.delete(pair);
      return;
    }
    const passes = this.#reachability.passesBothWays(end.host, peer.host);
    // An end that still holds the old connection for standing has to learn of its end first.
    const free = old === undefined || !(old.up[0] || old.up[1]);
    const awake = !end.process.paused && !peer.process.paused;
    if (!passes || !free || !awake || !end.accepts(peer) || !peer.accepts(end)) {
      this.#scheduler.after(redial.againMs, () => this.#connect(pair, end, peer));
      return;
    }
    this.#dialling.delete(pair);
    const ends = end.station < peer.station ? ([end, peer] as const) : ([peer, end] as const);
    this.#links.set(pair, {
      ends,
      lives: [ends[0].process.life, ends[1].process.life],
      up: [true, true],
      lastAtMs: [0, 0],
    });
    end.onLinked(peer);
    peer.onLinked(end);
  }

  /** `end` ends its connection with `peer`, if there is one; the peer hears of it, or times out. */
  unlink(end: FabricEnd, peer: FabricEnd): void {
    const link = this.#links.get(this.#pair(end, peer));
    if (link?.up[sideOf(link, end)]) this.#drop(link, sideOf(link, end));
  }

  #drop(link: Link, side: 0 | 1): void {
    if (!link.up[side]) return;
    link.up[side] = false;
    const end = link.ends[side];
    const peer = link.ends[side === 0 ? 1 : 0];
    this.#scheduler.after(1 + this.#random.next() * 10, () => this.#hear(link, side));
    if (!end.process.alive || end.process.life !== link.lives[side]) return;
    end.onUnlinked(peer);
    this.#dial(end, peer);
  }

  /** The far end hears that `side` is gone; behind a partition only its own patience tells. */
  #hear(link: Link, side: 0 | 1): void {
    const far = side === 0 ? 1 : 0;
    if (!link.up[far]) return;
    const end = link.ends[far];
    const alive = end.process.alive && end.process.life === link.lives[far];
    const passes = this.#reachability.passes(link.ends[side].host, end.host);
    if (!alive || (passes && !end.process.paused)) {
      this.#drop(link, far);
      return;
    }
    const patienceMs = passes ? resendMs : silence.leastMs + this.#random.next() * silence.spreadMs;
    this.#scheduler.after(patienceMs, () => {
      if (end.process.paused) this.#hear(link, side);
      else this.#drop(link, far);
    });
  }

  /** The process at this end has died. */
  died(end: FabricEnd): void {
    for (const link of this.#links.values()) {
      const side = link.ends[0] === end ? 0 : link.ends[1] === end ? 1 : null;
      if (side !== null) this.#drop(link, side);
    }
  }

  /** Partitions have changed: connections across them end, unless they heal soon. */
  changed(): void {
    for (const link of this.#links.values()) {
      for (const side of [0, 1] as const) if (link.up[side]) this.#watch(link, side);
    }
  }

  #watch(link: Link, side: 0 | 1): void {
    const [one, other] = link.ends;
    if (this.#reachability.passesBothWays(one.host, other.host)) return;
    this.#scheduler.after(silence.leastMs + this.#random.next() * silence.spreadMs, () => {
      if (!link.up[side] || this.#reachability.passesBothWays(one.host, other.host)) return;
      if (link.ends[side].process.paused) this.#watch(link, side);
      else this.#drop(link, side);
    });
  }

  /** @returns false where `from` has no connection with `to` */
  send(from: FabricEnd, to: FabricEnd, receive: () => void): boolean {
    const link = this.#links.get(this.#pair(from, to));
    if (link === undefined) return false;
    const side = sideOf(link, from);
    if (!link.up[side]) return false;
    const { nowMs } = this.#scheduler;
    const usualMs = nowMs + 0.2 + this.#random.next() * 3;
    const atMs = Math.max(link.lastAtMs[side], usualMs);
    link.lastAtMs[side] = atMs;
    this.#deliver(link, side, atMs - nowMs, receive);
    return true;
  }

  #deliver(link: Link, side: 0 | 1, delayMs: number, receive: () => void): void {
    const to = link.ends[side === 0 ? 1 : 0];
    this.#scheduler.toAny(to.process, delayMs, () => {
      const far = side === 0 ? 1 : 0;
      if (!link.up[far] || to.process.life !== link.lives[far]) return;
      if (this.#reachability.passes(link.ends[side].host, to.host)) {
        receive();
        return;
      }
      const { nowMs } = this.#scheduler;
      link.lastAtMs[side] = Math.max(link.lastAtMs[side], nowMs + resendMs);
      this.#deliver(link, side, resendMs, receive);
    });
  }
}

function sideOf(link: Link, end: FabricEnd): 0 | 1 {
  return link.ends[0] === end ? 0 : 1;
}

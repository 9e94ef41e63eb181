import type { Member } from '@isobar/protocol';
import type { FabricEnd } from '../network/fabric.js';
import type { World } from '../world.js';
import type { SimulatedEngine } from './simulated-engine.js';

const askMs = 4_000;

/** What one engine makes of its peers: whom it takes, whom it has lost, whom it asks. */
export class EnginePeers {
  readonly #world: World;
  readonly #engine: SimulatedEngine;
  /** Members of its mapping with which it has no connection. */
  broken: readonly Member[] = [];
  #asking = false;

  constructor(world: World, engine: SimulatedEngine) {
    this.#world = world;
    this.#engine = engine;
  }

  /** The process is new. */
  reset(): void {
    this.broken = [];
    this.#asking = false;
  }

  /** A vote has been given: what became of it is asked of peers until its outcome is known. */
  awaitOutcome(): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#world.scheduler.timer(this.#engine.process, askMs, () => this.#askSome());
  }

  engineOf(member: Member): SimulatedEngine | undefined {
    return this.#world.engines.find(
      ({ rank, incarnation }) => rank === member.rank && incarnation === member.incarnation,
    );
  }

  /** Whether it takes a new connection: not of who has stopped, which takes part no more. */
  accepts(end: FabricEnd): boolean {
    const peer = this.#world.engineAt(end.station);
    const hasStopped = peer.phase === 'running' && peer.swap.standing === 'stopped';
    return !hasStopped && this.#keeps(peer);
  }

  /** Whether a connection may stay: not of who is cut, has been replaced, or serves without being listed. */
  #keeps(peer: SimulatedEngine): boolean {
    const engine = this.#engine;
    if (engine.phase === 'waiting') return true;
    if (engine.hasCut(peer) || this.#isReplaced(peer)) return false;
    if (peer.phase === 'waiting' || peer.swap.standing !== 'serving') return true;
    if (engine.swap.standing !== 'serving') return true;
    // A new group routes by its start mapping until it is listed; the base lists others.
    const { committed, mappingVersion } = engine.swap;
    const version = engine.swap.listed ? committed.version : mappingVersion;
    return engine.membersOf(version).some(({ incarnation }) => incarnation === peer.incarnation);
  }

  #isReplaced(peer: SimulatedEngine): boolean {
    return this.#world.engines.some(
      (other) =>
        other.rank === peer.rank &&
        other.startedAs > peer.startedAs &&
        this.#world.fabric.isLinked(this.#engine, other),
    );
  }

  /** Connections of engines that the newest record has removed, or that are cut, are ended. */
  leaveBehind(): void {
    for (const peer of this.#world.engines) {
      if (peer !== this.#engine && !this.#keeps(peer))
        this.#world.fabric.unlink(this.#engine, peer);
    }
  }

  /** @returns whether other peers are broken than before */
  look(): boolean {
    const { swap, incarnation } = this.#engine;
    const { standing, committed, mappingVersion } = swap;
    const version = standing === 'joining' ? committed.version : mappingVersion;
    const broken = this.#engine.membersOf(version).filter((member) => {
      if (member.incarnation === incarnation) return false;
      const peer = this.engineOf(member);
      return peer === undefined || !this.#world.fabric.isLinked(this.#engine, peer);
    });
    const same =
      broken.length === this.broken.length &&
      broken.every((member, at) => member.incarnation === this.broken[at]?.incarnation);
    if (!same) this.broken = broken;
    return !same;
  }

  #askSome(): void {
    this.#asking = false;
    if (this.#engine.swap.vote === null) return;
    this.awaitOutcome();
    const { random, engines } = this.#world;
    const peer = engines[random.integer(engines.length)];
    if (peer !== undefined && peer !== this.#engine) this.ask(peer);
  }

  ask(peer: SimulatedEngine): void {
    const { fabric } = this.#world;
    fabric.send(this.#engine, peer, () => {
      if (peer.phase !== 'running') return;
      const { rank, incarnation } = peer;
      const { outcomes } = peer.swap;
      fabric.send(peer, this.#engine, () => {
        for (const { record } of outcomes)
          this.#engine.port.hearFromPeer({ rank, incarnation }, record);
      });
    });
  }

  /** A frame of a version that this engine has voted for or not heard of: its sender knows more. */
  seeVersion(version: number, peer: SimulatedEngine): void {
    const { vote, committed } = this.#engine.swap;
    const isNews = vote === null ? version > committed.version : version >= vote.version;
    if (isNews) this.ask(peer);
  }
}

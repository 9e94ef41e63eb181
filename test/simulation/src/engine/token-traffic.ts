import type { ExpertMapping } from '@isobar/eplb';
import { present } from '../present.js';
import { RuleViolation } from '../rules/rule-violation.js';
import type { World } from '../world.js';
import { weightsOf } from './expert-memory.js';
import type { SimulatedEngine } from './simulated-engine.js';

/** A token on its way to one expert, routed by one version. */
interface Token {
  readonly version: number;
  readonly layer: number;
  readonly expert: number;
  readonly slot: number;
  /** Whose slot it is. */
  readonly peer: SimulatedEngine;
  open: boolean;
}

const computing = { usualMs: 15, slow: 0.08, slowMs: 2_500 };

/**
 * Tokens that one engine has routed: sampled, a few of the many that real ones route. They take
 * their time, and belong to the version that they were routed by until they are answered.
 */
export class TokenTraffic {
  readonly #world: World;
  readonly #engine: SimulatedEngine;
  /** One of them has been answered or cut. */
  readonly #onSettled: () => void;
  #open: Token[] = [];

  constructor(world: World, engine: SimulatedEngine, onSettled: () => void) {
    this.#world = world;
    this.#engine = engine;
    this.#onSettled = onSettled;
  }

  /** Whether every token routed by an older version has been answered or cut. */
  isDrained(below: number): boolean {
    return this.#open.every((token) => token.version >= below);
  }

  eachOpenVersion(visit: (version: number) => void): void {
    for (const token of this.#open) visit(token.version);
  }

  /** So many tokens, to experts and replicas drawn by chance; masked replicas are passed over. */
  route(count: number): void {
    const { listed, mappingVersion } = this.#engine.swap;
    // Who has switched to the version without it takes no request any more.
    if (!this.#engine.routes || (!listed && mappingVersion > 0)) return;
    const mapping = this.#engine.mappingOf(mappingVersion);
    for (let index = 0; index < count; index += 1) this.#routeOne(mappingVersion, mapping);
  }

  #routeOne(version: number, mapping: ExpertMapping): void {
    const { random } = this.#world;
    const layer = random.integer(mapping.numLayers);
    const expert = random.integer(mapping.numLogicalExperts);
    const slots = mapping.getPhysicalExperts(layer, expert);
    const first = random.integer(slots.length);
    for (let step = 0; step < slots.length; step += 1) {
      const slot = present(slots[(first + step) % slots.length]);
      const peer = this.#holder(version, mapping.rankOfSlot(slot));
      if (peer === null) continue;
      const token = { version, layer, expert, slot, peer, open: true };
      this.#open.push(token);
      if (!this.#dispatch(token)) this.#close(token);
      return;
    }
  }

  /** The engine that holds a rank's slots under a version, null where it is masked. */
  #holder(version: number, rank: number): SimulatedEngine | null {
    const engine = this.#engine;
    if (rank === engine.rank) return engine;
    const member = engine.membersOf(version).find((candidate) => candidate.rank === rank);
    const peer = member === undefined ? undefined : engine.peers.engineOf(member);
    return peer !== undefined && this.#world.fabric.isLinked(engine, peer) ? peer : null;
  }

  #computingMs(): number {
    const { random } = this.#world;
    const usual = random.next() * computing.usualMs;
    return random.next() < computing.slow ? usual + random.next() * computing.slowMs : usual;
  }

  /** @returns false where its connection is gone */
  #dispatch(token: Token): boolean {
    const { scheduler, fabric, activation } = this.#world;
    const engine = this.#engine;
    const { peer } = token;
    if (activation === 'in-place') return this.#computeInStep(token);
    const tookMs = this.#computingMs();
    if (peer === engine) {
      scheduler.toLife(engine.process, tookMs, () => {
        this.#compute(token);
        this.#settle(token);
      });
      return true;
    }
    return fabric.send(engine, peer, () => {
      peer.peers.seeVersion(token.version, engine);
      scheduler.toLife(peer.process, tookMs, () => {
        if (!token.open) return;
        this.#compute(token);
        fabric.send(peer, engine, () => this.#settle(token));
      });
    });
  }

  /** In place: a token is answered in the step that it was routed in, or its connection is cut. */
  #computeInStep(token: Token): boolean {
    const { peer } = token;
    if (peer !== this.#engine && !this.#world.fabric.isMutual(this.#engine, peer)) return false;
    this.#compute(token);
    this.#close(token);
    return true;
  }

  /** S4 and S5: it is computed with the weights of its expert, whole, or not at all. */
  #compute({ version, layer, expert, slot, peer, open }: Token): void {
    if (!open) return;
    const where = `a token of version ${version} for expert ${expert} of layer ${layer}`;
    const weights = peer.memory.serve(version, layer, slot);
    if (weights === null) {
      // Whoever is vouched for as dead may go on routing by what its peers have retired without it.
      if (this.#world.rules.outcomes.isCountedOut(this.#engine.incarnation)) return;
      throw new RuleViolation('S4', `${peer.name} refuses ${where}`);
    }
    if (weights === weightsOf(this.#world.startMapping, layer, expert)) return;
    const rule = weights < -1 ? 'S5' : 'S4';
    throw new RuleViolation(rule, `${peer.name} computes ${where} with weights ${weights}`);
  }

  #settle(token: Token): void {
    if (!token.open) return;
    this.#close(token);
    this.#onSettled();
  }

  #close(token: Token): void {
    token.open = false;
    this.#open = this.#open.filter((open) => open !== token);
  }

  /** The engine that routed them is gone. */
  cutAll(): void {
    for (const token of this.#open) this.#close(token);
  }

  /** The connection with a peer is gone: tokens on their way there, or back, are lost. */
  cutPeer(peer: SimulatedEngine): void {
    for (const token of this.#open) if (token.peer === peer) this.#close(token);
  }
}

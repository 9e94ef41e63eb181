import type { ExpertMapping } from '@isobar/eplb';
import type { Member } from '@isobar/protocol';
import { weightsOf } from '../engine/expert-memory.js';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { World } from '../world.js';
import { RuleViolation } from './rule-violation.js';

/**
 * S4: under every version that a live rank routes by, or has tokens under way of, every expert of
 * every layer is resident and served on a live rank. An expert whose ranks are all dead is exempt:
 * nothing holds it, and evacuation must bring it back.
 */
export class ResidencyRules {
  readonly #world: World;
  readonly #engines: readonly SimulatedEngine[];
  readonly #isProvenDead: (engine: SimulatedEngine) => boolean;
  /** Something has changed that the rule depends on. */
  dirty = true;
  /** Experts that no live rank held at the last check. */
  missing = 0;

  constructor(world: World, isProvenDead: (engine: SimulatedEngine) => boolean) {
    this.#world = world;
    this.#engines = world.engines;
    this.#isProvenDead = isProvenDead;
  }

  check(): void {
    if (!this.dirty) return;
    this.dirty = false;
    this.missing = 0;
    const checked: number[] = [];
    for (const engine of this.#engines) {
      if (!engine.routes || this.#isProvenDead(engine)) continue;
      const visit = (version: number) => {
        // In place what is checked depends on who is connected with the router.
        if (this.#world.activation === 'two-table' && checked.includes(version)) return;
        checked.push(version);
        this.#checkVersion(engine, version);
      };
      visit(engine.swap.mappingVersion);
      engine.traffic.eachOpenVersion(visit);
    }
  }

  #checkVersion(router: SimulatedEngine, version: number): void {
    const mapping = router.memory.mappingOf(version);
    if (mapping === null) {
      throw new RuleViolation(
        'S4',
        `${router.name} has freed version ${version}, which it still routes by`,
      );
    }
    const holders = this.#holdersByRank(router, router.membersOf(version), mapping.numRanks);
    for (let layer = 0; layer < mapping.numLayers; layer += 1) {
      for (let expert = 0; expert < mapping.numLogicalExperts; expert += 1) {
        this.#checkExpert(router, version, mapping, holders, layer, expert);
      }
    }
  }

  /** The live engine of each rank that a version lists, null where it is dead. */
  #holdersByRank(
    router: SimulatedEngine,
    members: readonly Member[],
    numRanks: number,
  ): (SimulatedEngine | null)[] {
    const holders = new Array<SimulatedEngine | null>(numRanks).fill(null);
    for (const engine of this.#engines) {
      if (!engine.process.alive || this.#isProvenDead(engine)) continue;
      if (!this.#counts(router, engine)) continue;
      if (members.some(({ incarnation }) => incarnation === engine.incarnation)) {
        holders[engine.rank] = engine;
      }
    }
    return holders;
  }

  /**
   * In place nothing is retained, and a step is taken by those that are connected: who is not can't
   * be sent a token, nor would its switch be waited for.
   */
  #counts(router: SimulatedEngine, engine: SimulatedEngine): boolean {
    if (this.#world.activation === 'two-table' || router === engine) return true;
    return this.#world.fabric.isMutual(router, engine);
  }

  #checkExpert(
    router: SimulatedEngine,
    version: number,
    mapping: ExpertMapping,
    holders: readonly (SimulatedEngine | null)[],
    layer: number,
    expert: number,
  ): void {
    const wanted = weightsOf(mapping, layer, expert);
    let live = 0;
    for (const slot of mapping.getPhysicalExperts(layer, expert)) {
      const holder = holders[mapping.rankOfSlot(slot)];
      if (holder == null) continue;
      live += 1;
      const weights = holder.memory.serve(version, layer, slot);
      if (weights === wanted) return;
      if (weights !== null && weights < -1) {
        throw new RuleViolation(
          'S5',
          `${holder.name} would serve damaged weights of expert ${expert} of layer ${layer}`,
        );
      }
    }
    if (live === 0) {
      this.missing += 1;
      return;
    }
    throw new RuleViolation(
      'S4',
      `${router.name} routes by version ${version}, under which no live rank serves expert ${expert} of layer ${layer}`,
    );
  }
}

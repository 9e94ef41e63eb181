import type { Member } from '@isobar/protocol';
import type { SimulatedEngine } from '../engine/simulated-engine.js';

/**
 * Engines that are dead to their group though they may live: every survivor refuses them for good,
 * and the survivors are more than half of the members.
 */
export class CutMembers {
  readonly #incarnations = new Set<string>();

  has(engine: SimulatedEngine): boolean {
    return this.#incarnations.has(engine.incarnation);
  }

  /** An engine has cut somebody. @param members of the newest version that anybody acts on */
  look(engines: readonly SimulatedEngine[], members: readonly Member[]): void {
    const living = engines.filter(
      (engine) =>
        engine.process.alive &&
        engine.phase === 'running' &&
        !this.has(engine) &&
        members.some(({ incarnation }) => incarnation === engine.incarnation),
    );
    const half = members.length / 2;
    const cutters = (engine: SimulatedEngine) => living.filter((other) => other.hasCut(engine));
    const candidates = living.filter((engine) => cutters(engine).length > half);
    const survivors = living.filter((engine) => !candidates.includes(engine));
    if (survivors.length <= half) return;
    for (const engine of candidates) {
      if (survivors.every((other) => other.hasCut(engine))) {
        this.#incarnations.add(engine.incarnation);
      }
    }
  }
}

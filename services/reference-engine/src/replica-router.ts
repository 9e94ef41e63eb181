import type { ExpertMapping } from '@isobar/eplb';

/**
 * Chooses a replica for each token, uniformly: every source takes an expert's replicas in turn,
 * each source starting at another, so that few tokens already spread evenly.
 */
export class ReplicaRouter {
  readonly #rank: number;
  readonly #numExperts: number;
  readonly #turns: Uint32Array;

  constructor(rank: number, numLayers: number, numExperts: number) {
    this.#rank = rank;
    this.#numExperts = numExperts;
    this.#turns = new Uint32Array(numLayers * numExperts);
  }

  /**
   * @param masked ranks that can't be reached
   * @returns a slot, −1 where every replica's rank is masked
   */
  choose(
    mapping: ExpertMapping,
    layer: number,
    expert: number,
    masked: ReadonlySet<number>,
  ): number {
    const replicas = mapping.getPhysicalExperts(layer, expert);
    const at = layer * this.#numExperts + expert;
    const turn = (this.#turns[at] ?? 0) + this.#rank;
    this.#turns[at] = (this.#turns[at] ?? 0) + 1;
    for (let tried = 0; tried < replicas.length; tried += 1) {
      const slot = replicas[(turn + tried) % replicas.length] ?? -1;
      if (masked.size === 0 || !masked.has(mapping.rankOfSlot(slot))) return slot;
    }
    return -1;
  }
}

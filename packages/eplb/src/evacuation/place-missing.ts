import type { ExpertMapping } from '../expert-mapping.js';

/** A slot that takes in an expert which no staying slot holds. */
export interface Placement {
  readonly layer: number;
  readonly slot: number;
  readonly rank: number;
  readonly expert: number;
  /** Whether some rank holds the expert in a buffer that is soon freed: such go first. */
  readonly retained: boolean;
  /** Whether that is the placement's own rank: nothing travels. */
  readonly ownRetained: boolean;
}

/** Why an expert has no place: too few slots, or none on a rank that may receive anything. */
export interface NoPlace {
  readonly layer: number;
  readonly expert: number;
  readonly lacks: 'slots' | 'buffers';
  /** Slots of the layer that stay and may be filled. */
  readonly liveSlots: number;
}

export interface PlacingContext {
  readonly mapping: ExpertMapping;
  /** Whether what a slot holds counts, [slots]. */
  readonly stays: readonly boolean[];
  /** Slots that take nothing in, whatever they hold. */
  readonly closedSlots: ReadonlySet<number>;
  /** Whether a rank may be brought anything, [ranks]. */
  readonly receives: readonly boolean[];
  /** Slots that keep their expert in every layer. */
  readonly pinnedSlots: ReadonlySet<number>;
  /** Ranks that hold an expert in a buffer that is no slot. */
  readonly retainers: (layer: number, expert: number) => readonly number[];
  /** [layers × experts], null for all alike. */
  readonly loads: Float64Array | null;
}

/**
 * A slot for every expert that no staying slot holds: on a rank that retains it, else an empty
 * slot, else in place of a replica of the expert that has most. Ranks with least load in the layer
 * first, then those that have been given least so far. No staying expert loses its last replica,
 * and no rank gets a second replica of one.
 */
export function placeMissing(context: PlacingContext): Placement[] | NoPlace {
  const given = new Int32Array(context.mapping.numRanks);
  const placements: Placement[] = [];
  for (let layer = 0; layer < context.mapping.numLayers; layer += 1) {
    const placed = new LayerPlacing(context, layer, given).place();
    if (!Array.isArray(placed)) return placed;
    placements.push(...placed);
  }
  return placements;
}

class LayerPlacing {
  readonly #context: PlacingContext;
  readonly #layer: number;
  /** Experts that each rank is brought, over all layers, [ranks]. */
  readonly #given: Int32Array;
  readonly #row: Int32Array;
  /** Replicas on staying ranks, [experts]. */
  readonly #replicas: Int32Array;
  /** Load of each rank's slots, [ranks]; slots where no loads are known. */
  readonly #rankLoads: Float64Array;

  constructor(context: PlacingContext, layer: number, given: Int32Array) {
    const { mapping } = context;
    this.#context = context;
    this.#layer = layer;
    this.#given = given;
    this.#row = mapping.row(layer).slice();
    this.#replicas = new Int32Array(mapping.numLogicalExperts);
    this.#rankLoads = new Float64Array(mapping.numRanks);
    this.#eachStaying((_, expert) => {
      if (expert >= 0) this.#replicas[expert] = this.#replicasOf(expert) + 1;
    });
    this.#eachStaying((slot, expert) => {
      if (expert >= 0) this.#addLoad(mapping.rankOfSlot(slot), this.#shareOf(expert));
    });
  }

  place(): Placement[] | NoPlace {
    const missing = [...this.#replicas.keys()].filter((expert) => this.#replicasOf(expert) === 0);
    const placements: Placement[] = [];
    const left: number[] = [];
    // Where nothing travels nothing is lost: these first, before others take their slots.
    for (const expert of missing) {
      const retainers = new Set(this.#context.retainers(this.#layer, expert));
      const slot = this.#bestSlot((rank) => retainers.has(rank));
      if (slot < 0) left.push(expert);
      else placements.push(this.#take(slot, expert, true));
    }
    for (const expert of left) {
      const slot = this.#bestSlot((rank) => this.#context.receives[rank] === true);
      if (slot < 0) return this.#noPlace(expert);
      placements.push(this.#take(slot, expert, false));
    }
    return placements;
  }

  #replicasOf(expert: number): number {
    return this.#replicas[expert] ?? 0;
  }

  #shareOf(expert: number): number {
    const { loads, mapping } = this.#context;
    if (loads === null) return 1;
    const load = loads[this.#layer * mapping.numLogicalExperts + expert] ?? 0;
    return load / Math.max(1, this.#replicasOf(expert));
  }

  #addLoad(rank: number, load: number): void {
    this.#rankLoads[rank] = (this.#rankLoads[rank] ?? 0) + load;
  }

  #eachStaying(visit: (slot: number, expert: number) => void): void {
    const { stays } = this.#context;
    this.#row.forEach((expert, slot) => {
      if (stays[slot] === true) visit(slot, expert);
    });
  }

  /** The slot to fill on a rank that `may` be given an expert; −1 where there is none. */
  #bestSlot(may: (rank: number) => boolean): number {
    const { mapping, pinnedSlots, closedSlots } = this.#context;
    let best = -1;
    this.#eachStaying((slot, expert) => {
      if (closedSlots.has(slot)) return;
      if (expert >= 0 && (this.#replicasOf(expert) < 2 || pinnedSlots.has(slot))) return;
      if (!may(mapping.rankOfSlot(slot))) return;
      if (best < 0 || this.#isBetter(slot, best)) best = slot;
    });
    return best;
  }

  #isBetter(slot: number, than: number): boolean {
    const { mapping } = this.#context;
    const keys = (at: number): readonly number[] => {
      const expert = this.#row[at] ?? -1;
      const rank = mapping.rankOfSlot(at);
      const replicas = expert < 0 ? Number.POSITIVE_INFINITY : this.#replicasOf(expert);
      const freed = expert < 0 ? 0 : this.#shareOf(expert);
      return [-replicas, (this.#rankLoads[rank] ?? 0) - freed, this.#given[rank] ?? 0, at];
    };
    const [left, right] = [keys(slot), keys(than)];
    const differing = left.findIndex((key, index) => key !== right[index]);
    return differing >= 0 && (left[differing] ?? 0) < (right[differing] ?? 0);
  }

  #take(slot: number, expert: number, ownRetained: boolean): Placement {
    const { mapping, retainers } = this.#context;
    const rank = mapping.rankOfSlot(slot);
    const displaced = this.#row[slot] ?? -1;
    if (displaced >= 0) {
      this.#addLoad(rank, -this.#shareOf(displaced));
      this.#replicas[displaced] = this.#replicasOf(displaced) - 1;
    }
    this.#row[slot] = expert;
    this.#replicas[expert] = 1;
    this.#addLoad(rank, this.#shareOf(expert));
    if (!ownRetained) this.#given[rank] = (this.#given[rank] ?? 0) + 1;
    const layer = this.#layer;
    const retained = ownRetained || retainers(layer, expert).length > 0;
    return { layer, slot, rank, expert, retained, ownRetained };
  }

  #noPlace(expert: number): NoPlace {
    let liveSlots = 0;
    this.#eachStaying((slot) => {
      if (!this.#context.closedSlots.has(slot)) liveSlots += 1;
    });
    const lacks = this.#bestSlot(() => true) < 0 ? 'slots' : 'buffers';
    return { layer: this.#layer, expert, lacks, liveSlots };
  }
}

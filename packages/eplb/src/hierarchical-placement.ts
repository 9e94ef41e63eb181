import { BalancedPacking } from './packing.js';
import { GreedyReplication } from './replication.js';

/** Sizes that divide evenly: experts by groups, groups by nodes, ranks by nodes, slots by ranks. */
export interface Hierarchy {
  /** Ranks that serve, node by node, [numRanks]. */
  readonly ranks: readonly number[];
  /** Slots of the ranks that serve. */
  readonly numPhysicalExperts: number;
  readonly numGroups: number;
  readonly numNodes: number;
  readonly numRanks: number;
}

/**
 * Places one layer after another: groups are packed to nodes, experts replicated within a node,
 * and their copies packed to the node's ranks. Its buffers are reused from layer to layer.
 * Source: `rebalance_experts_hierarchical` of DeepSeek's EPLB.
 */
export class HierarchicalPlacement {
  readonly #sizes: Hierarchy;
  /** Experts in the order of the nodes that their groups were packed to, [experts]. */
  readonly #nodeExperts: Int32Array;
  readonly #groupLoads: Float32Array;
  readonly #groupPacking: BalancedPacking;
  readonly #nodeLoads: Float32Array;
  readonly #replication: GreedyReplication;
  readonly #rankPacking: BalancedPacking;

  constructor(numLogicalExperts: number, sizes: Hierarchy) {
    const { numPhysicalExperts, numGroups, numNodes, numRanks } = sizes;
    const slotsPerNode = numPhysicalExperts / numNodes;
    this.#sizes = sizes;
    this.#nodeExperts = Int32Array.from({ length: numLogicalExperts }, (_, expert) => expert);
    this.#groupLoads = new Float32Array(numGroups);
    this.#groupPacking = new BalancedPacking(numGroups, numNodes);
    this.#nodeLoads = new Float32Array(numLogicalExperts / numNodes);
    this.#replication = new GreedyReplication(this.#nodeLoads.length, slotsPerNode);
    this.#rankPacking = new BalancedPacking(slotsPerNode, numRanks / numNodes);
  }

  /**
   * @param loads [experts]
   * @param rankStarts first slot of each rank in `slots`, [ranks], ranks out among them
   * @param slots takes the expert of each slot of the ranks that serve
   */
  place(loads: Float32Array, rankStarts: Int32Array, slots: Int32Array): void {
    const { numGroups, numNodes } = this.#sizes;
    // One group a node stays where it is.
    if (numGroups > numNodes) this.#packGroups(loads);
    for (let node = 0; node < numNodes; node += 1) {
      this.#takeNodeLoads(node, loads);
      this.#replication.replicate(this.#nodeLoads);
      this.#rankPacking.pack(this.#replication.physicalLoads);
      this.#fillNode(node, rankStarts, slots);
    }
  }

  #packGroups(loads: Float32Array): void {
    this.#sumGroupLoads(loads);
    this.#groupPacking.pack(this.#groupLoads);
    this.#orderExpertsByNode();
  }

  #sumGroupLoads(loads: Float32Array): void {
    const groupLoads = this.#groupLoads.fill(0);
    const groupSize = loads.length / groupLoads.length;
    for (let group = 0, expert = 0; group < groupLoads.length; group += 1) {
      for (const end = expert + groupSize; expert < end; expert += 1) {
        groupLoads[group] += loads[expert];
      }
    }
  }

  #orderExpertsByNode(): void {
    const { numGroups, numNodes } = this.#sizes;
    const nodeExperts = this.#nodeExperts;
    const groupSize = nodeExperts.length / numGroups;
    const { packOf, placeInPack } = this.#groupPacking;
    const groupsPerNode = numGroups / numNodes;
    for (let group = 0, expert = 0; group < numGroups; group += 1) {
      const start = (packOf[group] * groupsPerNode + placeInPack[group]) * groupSize;
      for (let index = 0; index < groupSize; index += 1, expert += 1) {
        nodeExperts[start + index] = expert;
      }
    }
  }

  #takeNodeLoads(node: number, loads: Float32Array): void {
    const nodeLoads = this.#nodeLoads;
    const nodeExperts = this.#nodeExperts;
    const start = node * nodeLoads.length;
    for (let index = 0; index < nodeLoads.length; index += 1) {
      nodeLoads[index] = loads[nodeExperts[start + index]];
    }
  }

  #fillNode(node: number, rankStarts: Int32Array, slots: Int32Array): void {
    const { ranks, numNodes, numRanks } = this.#sizes;
    const { physicalToLogical } = this.#replication;
    const { packOf, placeInPack } = this.#rankPacking;
    const nodeExperts = this.#nodeExperts;
    const firstExpert = node * this.#nodeLoads.length;
    const firstRank = (node * numRanks) / numNodes;
    for (let physical = 0; physical < physicalToLogical.length; physical += 1) {
      const rank = ranks[firstRank + packOf[physical]];
      const expert = nodeExperts[firstExpert + physicalToLogical[physical]];
      slots[rankStarts[rank] + placeInPack[physical]] = expert;
    }
  }
}

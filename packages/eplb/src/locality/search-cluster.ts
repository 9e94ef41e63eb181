/** What the search for one layer asks of the cluster; the same for all layers. */
export interface SearchCluster {
  readonly numRanks: number;
  readonly numDomains: number;
  readonly numExperts: number;
  /** [slots] */
  readonly rankOfSlot: Int32Array;
  /** Fast domain of each rank, counted from 0 without gaps, [ranks]. */
  readonly domainOfRank: Int32Array;
  /** Tokens a rank serves in the time in which one of capacity 1 serves one, [ranks]; 0 where it is out. */
  readonly capacities: Float64Array;
  /** 1 where a slot keeps what it holds, [slots]. */
  readonly frozen: Uint8Array;
  /** [ranks] */
  readonly failureDomains: Int32Array | null;
}

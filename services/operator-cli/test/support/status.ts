import type { RankOrigin, RankPlace, RankStatus, StatusAnswer } from '@isobar/protocol';

/** A healthy rank: 4 to a node, each with the load that its number says. */
export function rankOf(rank: number, changes: Partial<RankStatus> = {}): RankStatus {
  return {
    rank,
    reportAgeMs: 400,
    sampleAgeMs: 600,
    engineConnected: true,
    standing: 'serving',
    member: '0123456789abcdef',
    drained: false,
    slots: { own: 12, offered: 12, limit: null },
    leaving: false,
    mappingVersion: 7,
    incarnation: '0123456789abcdef',
    freeBuffers: 20,
    step: 100,
    loadShare: 0.8 + (rank % 8) * 0.06,
    staged: null,
    node: `node-${Math.floor(rank / 4)}`,
    engine: {
      name: 'reference engine',
      modelRevision: 'r1',
      spareBuffers: 20,
      reserveBuffers: 4,
      ownBalancer: false,
    },
    software: '0.1.0',
    clockSkewMs: -4,
    place: placeOf(rank),
    origin: originOf('torchrun', rank),
    ...changes,
  };
}

export function placeOf(rank: number): RankPlace {
  const node = `hgx-${Math.floor(rank / 4)}`;
  const gpu = {
    index: rank % 4,
    uuid: `GPU-${rank}`,
    name: 'NVIDIA H100',
    nvlinkDomain: `${node}/0`,
  };
  return { node, localRank: rank % 4, domains: { rack: 'r7' }, gpu };
}

export function originOf(
  source: string,
  rank: number,
  warnings: readonly string[] = [],
): RankOrigin {
  const tellings = [{ source, rank, numRanks: null, localRank: null }];
  return { source, tellings, warnings: [...warnings] };
}

/** A deployment of so many ranks on which nothing is wrong. */
export function statusOf(numRanks: number, changes: Partial<StatusAnswer> = {}): StatusAnswer {
  return {
    deployment: 'demo',
    leader: {
      holder: 'coordinator-0',
      term: 3,
      leaseMs: 15_000,
      renewedAgoMs: 1_200,
      software: '0.1.0',
      atMs: Date.UTC(2026, 0, 1, 12, 0, 0),
    },
    mode: 'automatic',
    paused: false,
    held: null,
    heldBack: null,
    backOff: null,
    drained: [],
    dead: [],
    suspected: [],
    mapping: {
      version: 7,
      digest: '0123456789abcdef',
      layers: 26,
      logicalExperts: 64,
      physicalExperts: 80,
      ranks: numRanks,
    },
    swap: null,
    load: {
      balancedness: 0.912,
      imbalance: 1.13,
      meanStepMillis: 203.4,
      passes: 8,
      missingRanks: [],
      worstLayers: [
        { layer: 5, modelLayer: 8, imbalance: 1.5, rank: 3 },
        { layer: 1, modelLayer: 1, imbalance: 1.25, rank: 0 },
      ],
    },
    ranks: Array.from({ length: numRanks }, (_, rank) => rankOf(rank)),
    economy: {
      layersByBasis: { layer: 26, 'all-layers': 0, step: 0, configured: 0, held: 0 },
      perTokenSeconds: 1e-5,
      interference: { share: 0.1, basis: 'configured', transferring: 0, quiet: 8 },
      reason: null,
    },
    pendingPlan: null,
    history: [],
    swaps: { committed: 6, void: 1 },
    messagesRefused: 0,
    ...changes,
  };
}

/** The swap to the next version, as half of 8 ranks have followed it. */
export const swapUnderWay: NonNullable<StatusAnswer['swap']> = {
  version: 8,
  change: 'rebalance',
  phase: 'preparing',
  reason: 'plan 0badcafe',
  ageMs: 2_500,
  missingRanks: [4, 5, 6, 7],
  wavesWaiting: 2,
  neededRanks: [0, 1, 2, 3, 4, 5, 6, 7],
  moves: 12,
  bytes: 12 * 65_536,
};

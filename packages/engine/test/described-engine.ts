import type { EngineDescription, EngineState } from '@isobar/protocol';

export const description: EngineDescription = {
  deployment: 'test',
  rank: 0,
  numRanks: 1,
  incarnation: '0123456789abcdef',
  process: null,
  engine: 'test',
  modelRevision: 'r1',
  phase: 'mixed',
  modelLayerIds: Int32Array.of(0),
  numLogicalExperts: 2,
  slotOffsets: Int32Array.of(0, 2),
  pinnedSlots: new Int32Array(0),
  bytesPerExpert: 1,
  spareBuffers: 0,
  reserveBuffers: 0,
  replicaChoice: 'uniform',
  activation: 'two-table',
  staging: 'one-sided',
  digestAlgorithm: 'sha256',
  ownBalancer: false,
};
export function stateAt(step: number): EngineState {
  return {
    fence: null,
    committedVersion: 0,
    mappingVersion: 0,
    mappingDigest: '0'.repeat(64),
    physicalToLogical: Int32Array.of(0, 1),
    activatedVersion: 0,
    retiredUpTo: 0,
    votedUpTo: 0,
    vote: null,
    standing: 'serving',
    outcomes: [],
    cuts: [],
    brokenPeers: [],
    freeBuffers: 0,
    step,
  };
}

import type { ExpertMapping } from '@isobar/eplb';
import type { EngineDescription } from '@isobar/protocol';
import type { Checkpoint } from './checkpoint.js';
import { bytesPerExpert } from './model-shape.js';
import { processIdentity } from './process-identity.js';
import type { EngineSettings } from './settings.js';

/** What this engine is, as its hello says. */
export function describeEngine(
  settings: EngineSettings,
  mapping: ExpertMapping,
  checkpoint: Checkpoint,
  incarnation: string,
): EngineDescription {
  const { deployment, rank, numRanks, spareBuffers, reserveBuffers, activation } = settings;
  return {
    deployment,
    rank,
    numRanks,
    incarnation,
    process: processIdentity(),
    engine: 'isobar reference engine',
    modelRevision: checkpoint.modelRevision,
    phase: 'mixed',
    modelLayerIds: Int32Array.from({ length: mapping.numLayers }, (_, layer) => layer),
    numLogicalExperts: mapping.numLogicalExperts,
    slotOffsets: mapping.slotOffsets,
    pinnedSlots: new Int32Array(0),
    bytesPerExpert,
    spareBuffers,
    reserveBuffers,
    replicaChoice: 'uniform',
    activation,
    staging: 'one-sided',
    digestAlgorithm: 'sha256',
    ownBalancer: false,
  };
}

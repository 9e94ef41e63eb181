import { ExpertMapping } from '@isobar/eplb';
import { IsobarError } from '@isobar/protocol';
import { readTrace, type Trace } from '@isobar/trace';
import { Checkpoint } from './checkpoint.js';
import type { EngineSettings } from './settings.js';

/** What an engine stands on: the traffic that it serves, and the model. */
export interface EngineGround {
  readonly trace: Trace;
  readonly checkpoint: Checkpoint;
  readonly startMapping: ExpertMapping;
  /** Modelled time of a token in a layer. */
  readonly millisPerToken: number;
}

/** @throws IsobarError ISOBAR_ENGINE_CHECKPOINT, ISOBAR_ENGINE_SETTINGS; TraceError */
export async function loadGround(settings: EngineSettings): Promise<EngineGround> {
  const trace = await readTrace(settings.trace);
  const checkpoint = await Checkpoint.open(settings.checkpointDirectory);
  assertFits(trace, checkpoint);
  return {
    trace,
    checkpoint,
    startMapping: startMappingOf(settings, trace),
    millisPerToken: millisPerToken(settings, trace),
  };
}

function startMappingOf(settings: EngineSettings, trace: Trace): ExpertMapping {
  const { numRanks, numPhysicalExperts } = settings;
  const { numLayers, numExperts } = trace.header;
  return ExpertMapping.contiguous({
    numLayers,
    numLogicalExperts: numExperts,
    numRanks,
    numPhysicalExperts,
  });
}

function assertFits(trace: Trace, checkpoint: Checkpoint): void {
  const { numLayers, numExperts } = trace.header;
  if (checkpoint.numLayers === numLayers && checkpoint.numExperts === numExperts) return;
  const text = `the trace has ${numLayers} layers of ${numExperts} experts, the checkpoint ${checkpoint.numLayers} of ${checkpoint.numExperts}`;
  throw new IsobarError('ISOBAR_ENGINE_SETTINGS', text, { field: 'trace' });
}

function millisPerToken(settings: EngineSettings, trace: Trace): number {
  let tokens = 0;
  for (let step = 0; step < trace.numSteps; step += 1) tokens += trace.numTokens(step);
  const meanRankTokens = (tokens * trace.header.topK) / trace.numSteps / settings.numRanks;
  return settings.meanLayerMillis / meanRankTokens;
}

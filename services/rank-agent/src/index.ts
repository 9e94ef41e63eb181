export { DurableStateFile, type DurableStateFileOptions } from './durable-state-file.js';
export { PatientState, type PatientStateOptions } from './patient-state.js';
export { agentMetricTable } from './probes.js';
export { ProcessWitness, type Sighting } from './process-witness.js';
export { RankAgent, type RankAgentOptions } from './rank-agent.js';
export type { AgentSettings, AgentTimings } from './settings.js';
export { nodeDisk, type StateDisk } from './state-disk.js';
export { StateLock, type StateLockOptions } from './state-lock.js';

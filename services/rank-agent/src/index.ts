export { DurableStateFile } from './durable-state-file.js';
export { ProcessWitness, type Sighting } from './process-witness.js';
export { RankAgent, type RankAgentOptions } from './rank-agent.js';
export { type AgentSettings, agentSettingsSchema } from './settings.js';

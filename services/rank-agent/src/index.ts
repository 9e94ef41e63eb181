export { DurableStateFile } from './durable-state-file.js';
export { RankAgent, type RankAgentOptions } from './rank-agent.js';
export { type AgentSettings, agentSettingsSchema } from './settings.js';

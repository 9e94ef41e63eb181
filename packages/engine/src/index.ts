export { type EngineAddress, formatEngineAddress, parseEngineAddress } from './address.js';
export { type CommandOutcome, EngineClient, type EngineClientOptions } from './engine-client.js';
export {
  type EngineCommandMessage,
  type EngineHello,
  type EngineMessage,
  type EngineRequest,
  engineCommandSchema,
  engineHelloSchema,
  engineMessageSchema,
  engineRequestSchema,
} from './engine-messages.js';
export { EngineServer, type EngineServerOptions } from './engine-server.js';
export { encodeFrame, FrameReader, frameBytesMax, frameHeadBytes } from './frame.js';
export {
  type AgentGreeting,
  type AgentIdentity,
  type PortVersions,
  portVersions,
} from './greeting.js';

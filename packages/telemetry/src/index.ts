export { type LogLevel, logLevelFromEnvironment } from './log-level.js';
export { createLogger, type Logger, type LoggerOptions } from './logger.js';
export { type SerializedError, serializeError } from './serialize-error.js';
export { TelemetryError } from './telemetry-error.js';

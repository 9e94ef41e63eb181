export { type LogLevel, logLevelFromEnvironment } from './log-level.js';
export { createLogger, type Logger, type LoggerOptions } from './logger.js';
export { type Metric, Metrics } from './metrics.js';
export { openProbes } from './open-probes.js';
export { ProbeServer, type ProbeServerOptions } from './probe-server.js';
export { type ProcessSnapshot, processMetrics } from './process-metrics.js';
export { flagReading, numberReading, type Reading } from './reading.js';
export { type SerializedError, serializeError } from './serialize-error.js';
export { TelemetryError } from './telemetry-error.js';

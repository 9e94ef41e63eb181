import { destination, type Logger, pino, stdTimeFunctions } from 'pino';
import { type LogLevel, logLevelFromEnvironment } from './log-level.js';
import { serializeError } from './serialize-error.js';

export type { Logger };

export interface LoggerOptions {
  /** The service. */
  readonly name: string;
  /** @default ISOBAR_LOG_LEVEL, or `info` */
  readonly level?: LogLevel;
  /** Fields of every line. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/**
 * JSON lines on standard error, written at once: the last line before a crash is the one that
 * is wanted.
 * @throws TelemetryError ISOBAR_TELEMETRY_LOG_LEVEL
 */
export function createLogger(options: LoggerOptions): Logger {
  const { name, fields = {}, level = logLevelFromEnvironment(process.env) } = options;
  const settings = {
    name,
    level,
    base: { pid: process.pid, ...fields },
    timestamp: stdTimeFunctions.isoTime,
    serializers: { err: serializeError, cause: serializeError },
  };
  return pino(settings, destination({ fd: 2, sync: true }));
}

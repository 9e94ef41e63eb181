import { TelemetryError } from './telemetry-error.js';

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof levels)[number];

/**
 * Least level that is logged: ISOBAR_LOG_LEVEL, or `info`.
 * @throws TelemetryError ISOBAR_TELEMETRY_LOG_LEVEL
 */
export function logLevelFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): LogLevel {
  const named = environment.ISOBAR_LOG_LEVEL ?? 'info';
  const level = levels.find((candidate) => candidate === named);
  if (level !== undefined) return level;
  throw new TelemetryError(
    'ISOBAR_TELEMETRY_LOG_LEVEL',
    `ISOBAR_LOG_LEVEL is ${JSON.stringify(named)}; it must be one of ${levels.join(', ')}`,
    { variable: 'ISOBAR_LOG_LEVEL', value: named },
  );
}

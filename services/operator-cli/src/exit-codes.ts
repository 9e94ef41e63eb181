/** How `isobar` ends, for scripts. */
export const exitCodes = {
  ok: 0,
  /** The command was refused or failed; standard error says why. */
  failed: 1,
  /** Wrong options or arguments. */
  usage: 2,
  /** No NATS server, or no coordinator, answers. */
  unreachable: 3,
  /** The time to wait is over, and the command goes on. */
  running: 4,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

const unreachableCodes: ReadonlySet<string> = new Set([
  'ISOBAR_BUS_UNREACHABLE',
  'ISOBAR_BUS_NO_RESPONDERS',
  'ISOBAR_BUS_TIMEOUT',
]);

export function exitCodeOf(error: unknown): number {
  const code = errorCodeOf(error);
  return code !== null && unreachableCodes.has(code) ? exitCodes.unreachable : exitCodes.failed;
}

/** The code of an error of ours; of a refused command that of its own refusal. */
export function errorCodeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string')
    return null;
  if (error.code !== 'ISOBAR_BUS_SERVICE_ERROR' || !('fields' in error)) return error.code;
  const { fields } = error;
  const isNamed = typeof fields === 'object' && fields !== null && 'serviceCode' in fields;
  return isNamed && typeof fields.serviceCode === 'string' ? fields.serviceCode : error.code;
}

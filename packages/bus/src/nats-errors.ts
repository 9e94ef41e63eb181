import { IsobarError } from '@isobar/protocol';
import { ErrorCode, NatsError } from 'nats';

/** Turns a failure of the client library into one of ours. */
export function coded(what: string, cause: unknown): IsobarError {
  if (isTimeout(cause)) {
    return new IsobarError('ISOBAR_BUS_TIMEOUT', `${what}: no answer in time`, { what }, { cause });
  }
  if (cause instanceof NatsError && cause.code === ErrorCode.NoResponders) {
    return new IsobarError(
      'ISOBAR_BUS_NO_RESPONDERS',
      `${what}: nobody answers`,
      { what },
      { cause },
    );
  }
  if (cause instanceof NatsError && cause.isPermissionError()) return notPermitted(what, cause);
  const message = cause instanceof Error ? cause.message : String(cause);
  return new IsobarError('ISOBAR_BUS_FAILED', `${what}: ${message}`, { what }, { cause });
}

/** The server's refusal of a message or a subscription. */
export function notPermitted(subject: string, cause?: unknown): IsobarError {
  const text = `${subject}: the server does not permit it to these credentials`;
  return new IsobarError('ISOBAR_BUS_NOT_PERMITTED', text, { subject }, { cause });
}

export function isTimeout(cause: unknown): boolean {
  return cause instanceof NatsError && cause.code === ErrorCode.Timeout;
}

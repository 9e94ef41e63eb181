import { IsobarError } from '@isobar/protocol';
import { ErrorCode, NatsError } from 'nats';

/** Turns a failure of the client library into one of ours. */
export function coded(what: string, cause: unknown): IsobarError {
  if (isTimeout(cause)) {
    return new IsobarError('ISOBAR_BUS_TIMEOUT', `${what}: no answer in time`, { what }, { cause });
  }
  if (isUnanswered(cause)) {
    return new IsobarError(
      'ISOBAR_BUS_NO_RESPONDERS',
      `${what}: nobody answers`,
      { what },
      { cause },
    );
  }
  if (cause instanceof NatsError && cause.isPermissionError()) return notPermitted(what, cause);
  return new IsobarError('ISOBAR_BUS_FAILED', `${what}: ${messageOf(cause)}`, { what }, { cause });
}

/** Of JetStream's own refusals the client's message is often no more than a number. */
function messageOf(cause: unknown): string {
  if (cause instanceof NatsError && cause.api_error !== undefined) {
    const { description, err_code } = cause.api_error;
    return `${description} (JetStream ${err_code})`;
  }
  return cause instanceof Error ? cause.message : String(cause);
}

/** The server's refusal of a message or a subscription. */
export function notPermitted(subject: string, cause?: unknown): IsobarError {
  const text = `${subject}: the server does not permit it to these credentials`;
  return new IsobarError('ISOBAR_BUS_NOT_PERMITTED', text, { subject }, { cause });
}

export function isTimeout(cause: unknown): boolean {
  return cause instanceof NatsError && cause.code === ErrorCode.Timeout;
}

/**
 * The server has told that nobody listens on the subject: the message went nowhere. The client uses
 * the same code for JetStream's own 503, which is an answer.
 */
export function isUnanswered(cause: unknown): boolean {
  return (
    cause instanceof NatsError &&
    cause.code === ErrorCode.NoResponders &&
    cause.api_error === undefined
  );
}

/** The message was never sent, or the server has refused to take it. */
export function isRefused(cause: unknown): boolean {
  if (isUnanswered(cause)) return true;
  if (!(cause instanceof NatsError)) return false;
  if (cause.api_error !== undefined) return isRefusal(cause.api_error.code);
  const { code } = cause;
  return code === ErrorCode.MaxPayloadExceeded || cause.isPermissionError();
}

/**
 * JetStream's 4xx are given before anything is stored. Its 5xx are not all: a store that failed at
 * the stream's leader may have worked at the followers.
 */
function isRefusal(apiCode: number): boolean {
  return apiCode >= 400 && apiCode < 500;
}

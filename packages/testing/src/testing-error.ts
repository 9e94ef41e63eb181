import { IsobarError } from '@isobar/protocol';

export type TestingFailure =
  | 'ISOBAR_TESTING_NATS_SERVER_MISSING'
  | 'ISOBAR_TESTING_PROCESS_ENDED'
  | 'ISOBAR_TESTING_NOT_READY'
  | 'ISOBAR_TESTING_PORTS';

/** A process of the harness that could not be found, started or awaited. */
export function testingError(
  code: TestingFailure,
  message: string,
  fields: Readonly<Record<string, unknown>>,
  cause?: unknown,
): IsobarError {
  return new IsobarError(code, message, fields, { cause });
}

import { IsobarError } from '@isobar/protocol';
import type { Command } from 'commander';
import { type ConnectionOptions, connectionOf } from '../connection.js';
import { CoordinatorClient } from '../coordinator-client.js';
import { exitCodes } from '../exit-codes.js';

export interface GlobalOptions extends ConnectionOptions {
  readonly deployment: string;
  readonly timeout: number;
  readonly json: boolean;
  /** False of --no-color. */
  readonly color: boolean;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What is no result. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/**
 * Runs a command with a connection to its deployment.
 * @param onError told of what no call can return @default said on standard error
 */
export async function withClient(
  command: Command,
  act: (client: CoordinatorClient, options: GlobalOptions) => Promise<void>,
  onError?: (error: IsobarError) => void,
): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { deployment, timeout: timeoutMs } = options;
  const { servers, context } = await connectionOf(options);
  const client = await CoordinatorClient.connect({
    servers,
    context,
    deployment,
    timeoutMs,
    ...(onError === undefined ? {} : { onError }),
  });
  try {
    await act(client, options);
  } catch (error) {
    throw isUnnamed(command) ? withHint(error, command) : error;
  } finally {
    await client.close();
  }
}

/** Neither an option nor the environment names the deployment. */
function isUnnamed(command: Command): boolean {
  return command.getOptionValueSourceWithGlobals('deployment') === 'default';
}

/** What is said where there is no such deployment, or where the credentials are of another. */
const codesOfAbsence: ReadonlySet<string> = new Set([
  'ISOBAR_BUS_NO_RESPONDERS',
  'ISOBAR_BUS_NO_STREAM',
  'ISOBAR_BUS_NOT_PERMITTED',
]);

function withHint(error: unknown, command: Command): unknown {
  if (!(error instanceof IsobarError) || !codesOfAbsence.has(error.code)) return error;
  const { code, fields, message } = error;
  const { deployment } = command.optsWithGlobals<GlobalOptions>();
  const hint = `No deployment was named, so '${deployment}' was asked: name yours, as in isobar -d my-model ${command.name()}, or in ISOBAR_DEPLOYMENT`;
  return new IsobarError(code, `${message}. ${hint}`, fields, { cause: error });
}

/** @throws CommanderError, for exit code 2 */
export function wrongOptions(command: Command, what: string): never {
  command.error(`error: ${what}`, { exitCode: exitCodes.usage });
}

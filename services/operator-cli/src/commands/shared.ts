import type { IsobarError } from '@isobar/protocol';
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
  } finally {
    await client.close();
  }
}

/** @throws CommanderError, for exit code 2 */
export function wrongOptions(command: Command, what: string): never {
  command.error(`error: ${what}`, { exitCode: exitCodes.usage });
}

import { type Command, InvalidArgumentError } from 'commander';
import { CoordinatorClient } from '../coordinator-client.js';
import { exitCodes } from '../exit-codes.js';

export interface GlobalOptions {
  readonly server: string;
  readonly deployment: string;
  readonly timeout: number;
  readonly json: boolean;
}

/** Parses an argument: a whole number within limits. */
export const count = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}`);
};

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs a command with a connection to its deployment. */
export async function withClient(
  command: Command,
  act: (client: CoordinatorClient, options: GlobalOptions) => Promise<void>,
): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { server, deployment, timeout: timeoutMs } = options;
  const client = await CoordinatorClient.connect({ server, deployment, timeoutMs });
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

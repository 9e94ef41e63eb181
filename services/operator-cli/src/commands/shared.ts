import { readNatsContext } from '@isobar/bus';
import type { IsobarError } from '@isobar/protocol';
import type { Command } from 'commander';
import { CoordinatorClient } from '../coordinator-client.js';
import { exitCodes } from '../exit-codes.js';
import { natsContextPath } from '../nats-context-path.js';

export interface GlobalOptions {
  readonly server?: string;
  readonly context?: string;
  readonly deployment: string;
  readonly timeout: number;
  readonly json: boolean;
  /** False of --no-color. */
  readonly color: boolean;
}

export const serverDefault = 'nats://127.0.0.1:4222';

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
  const context =
    options.context === undefined ? null : await readNatsContext(natsContextPath(options.context));
  const named =
    context === null || context.servers.length === 0 ? [serverDefault] : context.servers;
  const servers = options.server?.split(',') ?? named;
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

import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Path of a context: of a file where a path is given, else of the one with that name where the stock
 * `nats` client keeps them.
 */
export function natsContextPath(
  nameOrPath: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (nameOrPath.includes('/') || nameOrPath.endsWith('.json')) return nameOrPath;
  const { XDG_CONFIG_HOME: configured = '' } = environment;
  const folder = configured === '' ? join(homedir(), '.config') : configured;
  return join(folder, 'nats', 'context', `${nameOrPath}.json`);
}

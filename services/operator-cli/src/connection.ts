import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionFiles, type NatsContext, readNatsContext } from '@isobar/bus';
import { type Command, Option } from 'commander';

export const serverDefault = 'nats://127.0.0.1:4222';

/** How to connect, by options or the variables of the stock `nats` client. */
export interface ConnectionOptions {
  readonly server?: string;
  /** Empty for none, also where one is selected. */
  readonly context?: string;
  readonly creds?: string;
  readonly nkey?: string;
  readonly tlscert?: string;
  readonly tlskey?: string;
  readonly tlsca?: string;
}

export interface Connection {
  readonly servers: readonly string[];
  /** Null: anonymous and in the clear. */
  readonly context: NatsContext | null;
}

/** Secrets come from files alone: arguments and variables can be read by others. */
export function addConnectionOptions(program: Command): void {
  const options = [
    new Option(
      '-s, --server <url>',
      `NATS servers, separated by commas (default: the context's, else ${serverDefault})`,
    ).env('NATS_URL'),
    new Option(
      '-c, --context <name>',
      'context of the nats client, or a file of one (default: the one that nats context select has selected)',
    ).env('NATS_CONTEXT'),
    new Option('--creds <file>', "credentials file, in place of the context's identity").env(
      'NATS_CREDS',
    ),
    new Option('--nkey <file>', "file of an nkey's seed, in place of the context's identity").env(
      'NATS_NKEY',
    ),
    new Option('--tlscert <file>', 'certificate of the client, PEM').env('NATS_CERT'),
    new Option('--tlskey <file>', "the certificate's private key, PEM").env('NATS_KEY'),
    new Option('--tlsca <file>', 'certificates that the servers are to be signed by, PEM').env(
      'NATS_CA',
    ),
  ];
  for (const option of options) program.addOption(option);
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where and as whom to connect. An option goes before its variable, and both before what a context
 * says; which context that is, is an option, else a variable, else what was selected.
 * @throws as readNatsContext
 */
export async function connectionOf(
  options: ConnectionOptions,
  environment: Environment = process.env,
): Promise<Connection> {
  const { server, creds, nkey, tlscert: cert, tlskey: key, tlsca: ca } = options;
  const named = { creds, nkey, cert, key, ca };
  const files: ConnectionFiles = Object.fromEntries(
    Object.entries(named).filter(([, path]) => path !== undefined && path !== ''),
  );
  const name = options.context ?? (await selectedContext(environment)) ?? '';
  const path = name === '' ? null : contextPath(name, environment);
  const isAnonymous = path === null && Object.keys(files).length === 0;
  const context = isAnonymous ? null : await readNatsContext(path, files);
  const ofContext = context?.servers ?? [];
  const servers = server === undefined || server === '' ? ofContext : server.split(',');
  return { servers: servers.length === 0 ? [serverDefault] : servers, context };
}

/** A file where a path is given, else the context with that name where the stock client keeps them. */
export function contextPath(nameOrPath: string, environment: Environment = process.env): string {
  if (nameOrPath.includes('/') || nameOrPath.endsWith('.json')) return nameOrPath;
  return join(natsFolder(environment), 'context', `${nameOrPath}.json`);
}

/** Name of the context that `nats context select` has selected, null where none is. */
async function selectedContext(environment: Environment): Promise<string | null> {
  try {
    const name = await readFile(join(natsFolder(environment), 'context.txt'), 'utf8');
    return name.trim() === '' ? null : name.trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

function natsFolder({ XDG_CONFIG_HOME: configured = '' }: Environment): string {
  return join(configured === '' ? join(homedir(), '.config') : configured, 'nats');
}

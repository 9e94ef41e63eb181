import { type Command, Option } from 'commander';
import { errorCodeOf } from '../exit-codes.js';
import { count } from '../option-values.js';
import { type AuthInitOptions, initAuthentication, renderAuthInit } from './auth-init.js';
import { kubernetesSecrets } from './kubernetes-secrets.js';

const kinds = ['password', 'nkey', 'tls'];
const several = (value: string, earlier: readonly string[] | undefined) => [
  ...(earlier ?? []),
  value,
];

export function addAuth(program: Command): void {
  const auth = program.command('auth').description('Who may do what on NATS.');
  auth
    .command('init')
    .description('Writes keys and NATS server configuration for a deployment into a new folder.')
    .argument('<folder>', 'where to write; must not be there yet')
    .addOption(
      new Option(
        '--kind <kind>',
        'how processes prove who they are: a password, a key or a certificate',
      )
        .choices(kinds)
        .default('nkey'),
    )
    .requiredOption('--ranks <number>', 'ranks, each an agent', count(1, 65_536))
    .option('--coordinators <number>', 'coordinators', count(1, 16), 1)
    .option('--operator <name>', 'somebody who may command; repeatable', several)
    .option('--viewer <name>', 'somebody who may only look; repeatable', several)
    .option('--host <name>', 'host name or address of a NATS server; repeatable', several)
    .option('--port <number>', 'port of the NATS servers', count(1, 65_535), 4_222)
    .option(
      '--route <name>',
      'host name or address of a server of a cluster, for the others; repeatable, once for each',
      several,
    )
    .option('--store <folder>', 'where the NATS servers keep records', '/var/lib/nats')
    .option('--valid <days>', 'how long certificates hold', count(1, 3_650), 365)
    .option('--installed-at <folder>', 'where the folder will lie when it is used')
    .option(
      '--authority <folder>',
      'authority of an earlier set, for deployments on the same servers',
    )
    .option('--if-absent', 'leaves a folder that is there already as it is, and is content', false)
    .action((folder: string, _, command: Command) => init(folder, command));
  auth
    .command('secrets')
    .description('Prints what auth init has written as Secrets of Kubernetes, for kubectl apply.')
    .argument('<folder>', 'as auth init has written it')
    .action((folder: string) => printSecrets(folder));
}

async function printSecrets(folder: string): Promise<void> {
  const items = await kubernetesSecrets(folder);
  process.stdout.write(`${JSON.stringify({ apiVersion: 'v1', kind: 'List', items })}\n`);
}

type Repeatable = 'operator' | 'viewer' | 'host' | 'route';
type GivenOptions = Omit<AuthInitOptions, Repeatable> &
  Partial<Pick<AuthInitOptions, Repeatable>> & {
    readonly json: boolean;
    readonly ifAbsent: boolean;
  };

async function init(folder: string, command: Command): Promise<void> {
  const { operator, viewer, host, route, ifAbsent, json, ...given } =
    command.optsWithGlobals<GivenOptions>();
  try {
    const report = await initAuthentication(folder, {
      ...given,
      operator: operator ?? [],
      viewer: viewer ?? [],
      host: host ?? ['localhost', '127.0.0.1'],
      route: route ?? [],
    });
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : renderAuthInit(report));
  } catch (error) {
    if (!ifAbsent || errorCodeOf(error) !== 'ISOBAR_CLI_AUTH_EXISTS') throw error;
    process.stderr.write(`${folder} is there already, and left as it is\n`);
  }
}

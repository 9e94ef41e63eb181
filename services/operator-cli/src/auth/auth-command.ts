import { type Command, Option } from 'commander';
import { count } from '../option-values.js';
import { type AuthInitOptions, initAuthentication, renderAuthInit } from './auth-init.js';

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
    .option('--store <folder>', 'where the NATS servers keep records', '/var/lib/nats')
    .option('--valid <days>', 'how long certificates hold', count(1, 3_650), 365)
    .option('--installed-at <folder>', 'where the folder will lie when it is used')
    .option(
      '--authority <folder>',
      'authority of an earlier set, for deployments on the same servers',
    )
    .action(async (folder: string, _, command: Command) => {
      const { operator, viewer, host, ...given } = command.optsWithGlobals<
        Omit<AuthInitOptions, 'operator' | 'viewer' | 'host'> &
          Partial<Pick<AuthInitOptions, 'operator' | 'viewer' | 'host'>> & {
            readonly json: boolean;
          }
      >();
      const report = await initAuthentication(folder, {
        ...given,
        operator: operator ?? [],
        viewer: viewer ?? [],
        host: host ?? ['localhost', '127.0.0.1'],
      });
      process.stdout.write(given.json ? `${JSON.stringify(report)}\n` : renderAuthInit(report));
    });
}

// Runs every check of the project, installing first what a fresh clone lacks.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

function run(command, args) {
  process.stderr.write(`\n> ${command} ${args.join(' ')}\n`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const vitest = (...projects) => [
  '--no-install',
  'vitest',
  'run',
  ...projects.flatMap((project) => ['--project', project]),
];

if (process.env.CI || !existsSync(`${root}/node_modules/.package-lock.json`)) run('npm', ['ci']);
run('npm', ['run', 'lint']);
run('npm', ['run', 'types']);
run('npx', vitest('unit', 'model', 'simulation'));
run('npx', vitest('e2e', 'compatibility', 'deploy', 'hostile'));
// By themselves: these need the whole machine.
run('npx', vitest('chaos'));
run('npx', vitest('compose'));

// Runs every check of the project, installing first what a fresh clone lacks.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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

/** What it prints is told when it has ended, so as not to be mixed with what runs beside it. */
async function runBeside(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks = [];
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  child.stderr.on('data', (chunk) => chunks.push(chunk));
  const [status] = await once(child, 'close');
  process.stderr.write(`\n> ${command} ${args.join(' ')}\n`);
  process.stdout.write(Buffer.concat(chunks));
  return status;
}

if (process.env.CI || !existsSync(`${root}/node_modules/.package-lock.json`)) run('npm', ['ci']);
run('npm', ['run', 'lint']);
run('npm', ['run', 'types']);
run('npx', vitest('unit', 'model', 'simulation'));
// Clusters of processes wait more than they work: two at a time.
const clusters = spawn('npx', vitest('e2e'), { cwd: root, stdio: 'inherit' });
const statuses = await Promise.all([
  once(clusters, 'close').then(([status]) => status),
  runBeside('npx', vitest('compatibility', 'deploy', 'hostile')),
]);
if (statuses.some((status) => status !== 0)) process.exit(1);
// By themselves: these need the whole machine.
run('npx', vitest('chaos'));
run('npx', vitest('compose'));

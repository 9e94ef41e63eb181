// Builds and runs chaos cases: npm run chaos -- --list.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

function run(command, args) {
  // Reports can go straight into a file: nothing else is on standard output.
  const stdio = command === process.execPath ? 'inherit' : ['ignore', 2, 2];
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio });
  if (error) throw error;
  if (signal !== null) process.stderr.write(`${command} was ended by ${signal}\n`);
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(`${root}/node_modules/.package-lock.json`)) run('npm', ['ci']);
run('npx', ['--no-install', 'tsc', '-b', 'test/chaos']);
run(process.execPath, ['test/chaos/dist/main.js', ...process.argv.slice(2)]);

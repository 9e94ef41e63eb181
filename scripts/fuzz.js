// Builds, and floods the services with hostile messages: npm run fuzz -- --messages 1000000 [--seed N].
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: { messages: { type: 'string', default: '1000000' }, seed: { type: 'string' } },
});

function run(command, args) {
  const env = {
    ...process.env,
    ISOBAR_FUZZ_MESSAGES: values.messages,
    ...(values.seed === undefined ? {} : { ISOBAR_FUZZ_SEED: values.seed }),
  };
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(`${root}/node_modules/.package-lock.json`)) run('npm', ['ci']);
run('npx', ['--no-install', 'tsc', '-b']);
const file = 'test/hostile/subjects.test.ts';
run('npx', ['--no-install', 'vitest', 'run', '--project', 'hostile', file]);

// Builds the images, with Docker alone or with BuildKit:
//   npm run images -- [--tag TAG] [--release VERSION] [--bundle-from context|source] [--no-cache]
// They are isobar:TAG and isobar-reference-engine:TAG; TAG is the version where it is not told.
// NODE_IMAGE and BASE_IMAGE name other images to start from.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'deploy/docker/bundle');
const targets = { isobar: 'isobar', 'reference-engine': 'isobar-reference-engine' };

function run(command, args, env = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** What git says of the commit that is checked out, null outside of a clone. */
function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

/** Where the project is published, without what a URL says of its user. */
function sourceUrl() {
  const url = git('remote', 'get-url', 'origin') ?? '';
  return /^https:\/\//.test(url) ? url.replace(/\/\/[^/]*@/, '//') : 'unknown';
}

const { values } = parseArgs({
  options: {
    tag: { type: 'string' },
    release: { type: 'string' },
    'bundle-from': { type: 'string', default: 'context' },
    'no-cache': { type: 'boolean', default: false },
  },
});
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { release = version, tag = release, 'bundle-from': bundleFrom } = values;
if (!['context', 'source'].includes(bundleFrom))
  throw new Error('--bundle-from: context or source');
const epoch = process.env.SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct') ?? '0';
const removeBundle = () => rmSync(folder, { recursive: true, force: true });
removeBundle();
// Left there, it would be an old one for whoever builds next.
process.on('exit', removeBundle);
if (bundleFrom === 'context') {
  const env = { ...process.env, SOURCE_DATE_EPOCH: epoch };
  const bundle = [join(root, 'scripts/bundle.js'), '--release', release, '--out'];
  run(process.execPath, [...bundle, join(folder, 'isobar')], env);
  run(
    process.execPath,
    [...bundle, join(folder, 'reference-engine'), '--with-reference-engine'],
    env,
  );
}
const given = {
  BUNDLE_FROM: bundleFrom,
  VERSION: release,
  REVISION: git('rev-parse', 'HEAD') ?? 'unknown',
  SOURCE: sourceUrl(),
  SOURCE_DATE_EPOCH: epoch,
  CREATED: new Date(Number(epoch) * 1_000).toISOString().replace('.000', ''),
  NODE_IMAGE: process.env.NODE_IMAGE,
  BASE_IMAGE: process.env.BASE_IMAGE,
};
const buildArguments = Object.entries(given)
  .filter(([, value]) => value !== undefined)
  .flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
// Of what the first has built anew the second takes what they have in common.
let freshness = values['no-cache'] ? ['--no-cache'] : [];
for (const [target, name] of Object.entries(targets)) {
  const image = ['--target', target, '-t', `${name}:${tag}`];
  const file = ['-f', 'deploy/docker/Dockerfile'];
  run('docker', ['build', ...file, ...freshness, ...buildArguments, ...image, '.']);
  freshness = [];
}
process.stdout.write(
  `${Object.values(targets)
    .map((name) => `${name}:${tag}\n`)
    .join('')}`,
);

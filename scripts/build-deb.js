// Builds a package for Debian and what is made of it, by dpkg-deb:
//   npm run deb -- --out DIR [--release VERSION] [--bundle DIR]
// The bundle is made where none is named. The same sources give the same bytes: times are SOURCE_DATE_EPOCH, or 1970.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'deploy/systemd');

/** Where files of deploy/systemd and docs go, and their modes. */
const installed = [
  ['deploy/systemd/isobar-coordinator.service', 'usr/lib/systemd/system', 0o644],
  ['deploy/systemd/isobar-agent@.service', 'usr/lib/systemd/system', 0o644],
  ['deploy/systemd/isobar.sysusers', 'usr/lib/sysusers.d/isobar.conf', 0o644],
  ['deploy/systemd/isobar.tmpfiles', 'usr/lib/tmpfiles.d/isobar.conf', 0o644],
  ['deploy/systemd/isobar.yaml', 'etc/isobar', 0o644],
  ['deploy/systemd/coordinator.env', 'etc/isobar', 0o644],
  ['deploy/systemd/agent.env', 'etc/isobar', 0o644],
  ['deploy/systemd/debian/isobar', 'usr/bin', 0o755],
  ['deploy/systemd/debian/copyright', 'usr/share/doc/isobar', 0o644],
  ['deploy/systemd/README.md', 'usr/share/doc/isobar', 0o644],
  ['CHANGELOG.md', 'usr/share/doc/isobar', 0o644],
  ['docs/COMMANDS.md', 'usr/share/doc/isobar', 0o644],
  ['docs/CONFIGURATION.md', 'usr/share/doc/isobar', 0o644],
  ['docs/DEPLOY.md', 'usr/share/doc/isobar', 0o644],
  ['docs/METRICS.md', 'usr/share/doc/isobar', 0o644],
  ['docs/OPERATIONS.md', 'usr/share/doc/isobar', 0o644],
  ['docs/SECURITY.md', 'usr/share/doc/isobar', 0o644],
  ['docs/errors.md', 'usr/share/doc/isobar', 0o644],
];
const completions = [
  ['bash', 'usr/share/bash-completion/completions/isobar'],
  ['zsh', 'usr/share/zsh/vendor-completions/_isobar'],
  ['fish', 'usr/share/fish/vendor_completions.d/isobar.fish'],
];
const controlScripts = ['postinst', 'prerm', 'postrm'];

function optionsOf(args) {
  const string = { type: 'string' };
  const { values } = parseArgs({ args, options: { out: string, release: string, bundle: string } });
  const { out, release, bundle } = values;
  if (out === undefined) throw new Error('usage: npm run deb -- --out DIR');
  const epoch = process.env.SOURCE_DATE_EPOCH ?? '0';
  if (!/^\d{1,10}$/.test(epoch)) throw new Error('SOURCE_DATE_EPOCH must be seconds since 1970');
  return { out: resolve(out), release, bundle: bundle && resolve(bundle), epoch };
}

function run(command, args, options = {}) {
  const { status, error, stdout } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 26,
    ...options,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with ${status}`);
  return stdout;
}

async function put(folder, path, content, mode = 0o644) {
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, content, { mode });
  await chmod(target, mode);
}

/** Paths of all files in a folder, from it. */
async function filesIn(folder) {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

async function writeControl(folder, version) {
  const files = await filesIn(folder);
  const read = await Promise.all(files.map((file) => readFile(join(folder, file))));
  const bytes = read.reduce((sum, { length }) => sum + length, 0);
  const sums = files.map((file, index) => {
    const md5 = createHash('md5').update(read[index]).digest('hex');
    return `${md5}  ${file}\n`;
  });
  const control = await readFile(join(sources, 'debian/control'), 'utf8');
  const filled = control
    .replace('VERSION', version)
    .replace('SIZE', String(Math.ceil(bytes / 1024)));
  await put(folder, 'DEBIAN/control', filled);
  await put(folder, 'DEBIAN/md5sums', sums.join(''));
  await put(folder, 'DEBIAN/conffiles', await readFile(join(sources, 'debian/conffiles')));
  for (const name of controlScripts) {
    await put(folder, `DEBIAN/${name}`, await readFile(join(sources, 'debian', name)), 0o755);
  }
}

async function stage(folder, bundle) {
  await cp(bundle, join(folder, 'usr/lib/isobar'), { recursive: true });
  for (const [source, target, mode] of installed) {
    const isFolder = !/\.conf$/.test(target);
    const path = isFolder ? join(target, source.slice(source.lastIndexOf('/') + 1)) : target;
    await put(folder, path, await readFile(join(root, source)), mode);
  }
  for (const [shell, path] of completions) {
    const script = run(process.execPath, [join(bundle, 'isobar.js'), 'completion', shell]);
    await put(folder, path, script);
  }
}

const { out, release, bundle: given, epoch } = optionsOf(process.argv.slice(2));
const working = await mkdtemp(join(tmpdir(), 'isobar-deb-'));
try {
  const bundle = given ?? join(working, 'bundle');
  if (given === undefined) {
    const args = ['scripts/bundle.js', '--out', bundle];
    run(process.execPath, release === undefined ? args : [...args, '--release', release]);
  }
  const { version } = JSON.parse(await readFile(join(bundle, 'package.json'), 'utf8'));
  if (release !== undefined && release !== version) {
    throw new Error(`the bundle is of version ${version}, not ${release}`);
  }
  const folder = join(working, 'package');
  await mkdir(folder);
  // Modes as they are installed, whatever the umask of whoever builds.
  await chmod(folder, 0o755);
  await stage(folder, bundle);
  // A pre-release comes before its release.
  const debianVersion = version.replace('-', '~');
  await writeControl(folder, debianVersion);
  run('chmod', ['-R', 'u+rwX,go+rX,go-w', folder]);
  await mkdir(out, { recursive: true });
  const path = join(out, `isobar_${debianVersion}_all.deb`);
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', folder, path], {
    env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
  });
  process.stderr.write(`${path}: ${Math.ceil((await stat(path)).size / 1024)} KiB\n`);
} finally {
  await rm(working, { recursive: true });
}

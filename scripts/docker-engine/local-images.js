// Base images made of this machine's own programs, where no image can be pulled.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../../.cache/', import.meta.url));
const certificates = '/etc/ssl/certs/ca-certificates.crt';

/** As the public images: one to build in, one with nothing but Node.js, one with a NATS server. */
const images = {
  NODE_IMAGE: { name: 'local/isobar-node', fill: fillBuildImage },
  BASE_IMAGE: { name: 'local/isobar-node-bare', fill: fillBareImage },
  NATS_IMAGE: { name: 'local/isobar-nats', fill: fillNatsImage },
};

/** Another Node.js, or another way to make them, is another image. */
const recipe = readFileSync(fileURLToPath(import.meta.url));
const tag = `${process.version}-${createHash('sha256').update(recipe).digest('hex').slice(0, 8)}`;

/** @returns the names, by the variable that is to have them */
export async function makeLocalImages() {
  if (process.platform !== 'linux') throw new Error('no image can be pulled, and none made here');
  const names = {};
  for (const [variable, { name: repository, fill }] of Object.entries(images)) {
    const name = `${repository}:${tag}`;
    names[variable] = name;
    const isThere =
      spawnSync('docker', ['image', 'inspect', name], { stdio: 'ignore' }).status === 0;
    if (!isThere) await makeImage(name, fill);
  }
  return names;
}

async function makeImage(name, fill) {
  mkdirSync(cache, { recursive: true });
  const context = mkdtempSync(join(cache, 'image-'));
  try {
    const root = join(context, 'root');
    mkdirSync(join(root, 'tmp'), { recursive: true });
    chmodSync(join(root, 'tmp'), 0o1777);
    const instructions = await fill(root);
    const lines = ['FROM scratch', 'COPY root /', ...instructions, ''];
    writeFileSync(join(context, 'Dockerfile'), lines.join('\n'));
    execFileSync('docker', ['build', '-q', '-t', name, context], { stdio: ['ignore', 2, 2] });
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

async function fillBuildImage(root) {
  addProgram(root, process.execPath, '/usr/local/bin/node');
  const npm = execFileSync('npm', ['root', '-g'], { encoding: 'utf8' }).trim();
  cpSync(join(npm, 'npm'), join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx']) {
    const script = `#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/${name}-cli.js "$@"\n`;
    writeFileSync(join(root, 'usr/local/bin', name), script, { mode: 0o755 });
  }
  // It trusts whom this machine trusts, and asks the registry that this machine asks.
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  const trust = existsSync(certificates) ? [`ENV NODE_EXTRA_CA_CERTS=${certificates}`] : [];
  if (trust.length > 0) add(root, certificates, certificates);
  return [...(await addBusybox(root)), ...trust, `ENV npm_config_registry=${registry}`];
}

/** Laid out as distroless images are: no shell, and Node.js where nothing looks by itself. */
async function fillBareImage(root) {
  addProgram(root, process.execPath, '/nodejs/bin/node');
  return ['ENTRYPOINT ["/nodejs/bin/node"]'];
}

async function fillNatsImage(root) {
  const { locateNatsServer } = await import('@isobar/testing');
  addProgram(root, await locateNatsServer(), '/usr/local/bin/nats-server');
  return [...(await addBusybox(root)), 'ENTRYPOINT ["/usr/local/bin/nats-server"]'];
}

/** A shell and its commands, `wget` among them. */
async function addBusybox(root) {
  const { fetchDebianPackage, findExecutable } = await import('@isobar/testing');
  const busybox = { name: 'busybox', folder: 'bin' };
  const path =
    findExecutable(busybox, process.env.PATH ?? '') ?? (await fetchDebianPackage(busybox));
  addProgram(root, path, '/bin/busybox');
  for (const folder of ['sbin', 'usr/bin', 'usr/sbin'])
    mkdirSync(join(root, folder), { recursive: true });
  return ['RUN ["/bin/busybox", "--install", "-s"]'];
}

/** A program, with the libraries that it is linked to. */
function addProgram(root, from, to) {
  add(root, from, to);
  const { stdout } = spawnSync('ldd', [from], { encoding: 'utf8' });
  for (const [, library] of stdout.matchAll(/(\/\S+) \(0x/g)) add(root, library, library);
}

function add(root, from, to) {
  const path = join(root, to);
  mkdirSync(dirname(path), { recursive: true });
  cpSync(from, path, { dereference: true });
}

// A Docker engine for the tests of images, and images to build them from:
//   node scripts/docker-engine.js start [--install]   prints NAME=VALUE lines for the environment
//   node scripts/docker-engine.js stop                ends the engine that `start` started, if any
// It takes the engine that is there. Only with --install, as root on Debian, it installs one and starts it.
// Base images are the public ones where they can be had, else made of this machine's own programs.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeLocalImages } from './docker-engine/local-images.js';

const state = fileURLToPath(new URL('../.cache/docker-engine/', import.meta.url));
const enginePath = join(state, 'dockerd.json');
const logPath = join(state, 'dockerd.log');
const packages = ['docker.io', 'docker-compose', 'iptables'];
const publicImages = {
  NODE_IMAGE: 'node:20-bookworm-slim',
  BASE_IMAGE: 'gcr.io/distroless/nodejs20-debian12:nonroot',
  NATS_IMAGE: 'nats:2.12-alpine',
};
const startDeadlineMs = 60_000;
const stopDeadlineMs = 30_000;
const pullDeadlineMs = 300_000;

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2], ...options });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`);
}

function succeeds(command, args, options = {}) {
  return spawnSync(command, args, { stdio: 'ignore', ...options }).status === 0;
}

const answers = () => succeeds('docker', ['info'], { timeout: 20_000 });
const isThere = (image) => succeeds('docker', ['image', 'inspect', image]);
const hasCompose = () =>
  succeeds('docker', ['compose', 'version']) || succeeds('docker-compose', ['version']);

function install() {
  const isDebian = succeeds('apt-get', ['--version']) && process.getuid?.() === 0;
  if (!isDebian) throw new Error('no Docker, and it can be installed only as root on Debian');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], { env });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
}

/** Starts dockerd in a session of its own: it outlives this process. */
async function startEngine() {
  mkdirSync(state, { recursive: true });
  const log = openSync(logPath, 'w');
  const engine = spawn('dockerd', [], { detached: true, stdio: ['ignore', log, log] });
  writeFileSync(enginePath, JSON.stringify(identify(engine.pid)));
  engine.unref();
  const until = Date.now() + startDeadlineMs;
  while (!answers()) {
    if (engine.exitCode !== null || Date.now() > until) {
      const last = readFileSync(logPath, 'utf8').split('\n').slice(-6).join('\n');
      engine.kill('SIGKILL');
      rmSync(enginePath);
      throw new Error(`dockerd does not come up:\n${last}`);
    }
    await delay(200);
  }
}

/** Tells a process from a later one of the same id, and of another boot; null where there is none. */
function identify(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return { pid, startTicks, boot };
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return null;
    throw error;
  }
}

/** The engine that `start` started, if it runs still. */
function startedEngine() {
  if (!existsSync(enginePath)) return null;
  const text = readFileSync(enginePath, 'utf8');
  const told = JSON.parse(text);
  const isSame = told !== null && JSON.stringify(identify(told.pid)) === text;
  return isSame ? told.pid : null;
}

/** The public images where all of them are there or can be pulled; else null. */
function pullImages() {
  for (const image of Object.values(publicImages)) {
    if (isThere(image)) continue;
    if (!succeeds('docker', ['pull', '-q', image], { timeout: pullDeadlineMs })) return null;
  }
  return publicImages;
}

async function start({ install: mayInstall }) {
  if (!answers() || !hasCompose()) {
    if (!mayInstall) throw new Error('no Docker engine answers, or there is no compose');
    if (!hasCompose() || !succeeds('dockerd', ['--version'])) install();
    if (!answers()) await startEngine();
  }
  const images = pullImages();
  const local = images ?? (await makeLocalImages());
  // The image that removes what tests leave behind can't be had where none can be pulled.
  const variables = images === null ? { ...local, TESTCONTAINERS_RYUK_DISABLED: 'true' } : local;
  for (const [name, value] of Object.entries(variables)) {
    process.stdout.write(`${name}=${process.env[name] ?? value}\n`);
  }
}

/** Whatever runs in an engine that was started here is of these tests. */
async function stop() {
  const pid = startedEngine();
  if (pid !== null) {
    const list = spawnSync('docker', ['ps', '-aq'], { encoding: 'utf8' });
    const containers = (list.stdout ?? '').split('\n').filter((id) => id !== '');
    if (containers.length > 0) run('docker', ['rm', '-f', ...containers]);
    const until = Date.now() + stopDeadlineMs;
    signal(pid, 'SIGTERM');
    while (startedEngine() !== null) {
      if (Date.now() > until) throw new Error(`dockerd, process ${pid}, does not end`);
      await delay(100);
    }
  }
  rmSync(enginePath, { force: true });
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

const { values, positionals } = parseArgs({
  options: { install: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [verb] = positionals;
if (verb === 'start') await start(values);
else if (verb === 'stop') await stop();
else throw new Error('usage: docker-engine.js start [--install] | stop');

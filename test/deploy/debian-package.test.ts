import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { StatusAnswer } from '@isobar/protocol';
import { locateNatsServer } from '@isobar/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { debianRoot, whyNoMachine } from './debian-root.js';
import { Machine } from './machine.js';
import { root } from './manifests.js';

const run = promisify(execFile);
const waits = { timeout: 60_000, interval: 200 };
const missing = await whyNoMachine();
if (missing !== null) {
  console.warn(`the Debian package is not installed: ${missing}`);
  if (process.env.CI) throw new Error(missing);
}

/** Units, and the most that systemd may find exposed of each: 0 is nothing, 10 all. */
const units = [
  ['isobar-coordinator.service', 1.6],
  ['isobar-agent@.service', 2.4],
] as const;

async function build(out: string, release: string): Promise<string> {
  const script = join(root, 'scripts/build-deb.js');
  await run(process.execPath, [script, '--out', out, '--release', release], { timeout: 300_000 });
  return join(out, `isobar_${release}_all.deb`);
}

/** A package of this machine's Node.js: Debian's own is older than what is needed. */
async function packageNode(folder: string): Promise<string> {
  const files = join(folder, 'nodejs');
  const version = process.version.slice(1);
  await mkdir(join(files, 'DEBIAN'), { recursive: true });
  await mkdir(join(files, 'usr/bin'), { recursive: true });
  const fields = [
    'Package: nodejs',
    `Version: ${version}`,
    'Architecture: all',
    'Maintainer: nobody <nobody@example.org>',
    "Description: the test machine's Node.js",
  ];
  await writeFile(join(files, 'DEBIAN/control'), `${fields.join('\n')}\n`);
  await run('cp', [process.execPath, join(files, 'usr/bin/node')]);
  const path = join(folder, 'nodejs.deb');
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', files, path]);
  return path;
}

/** Four toy engines, which are another user's; agents reach their sockets as a group's. */
const engineSettings = {
  deployment: 'd',
  numRanks: 4,
  listen: 'unix:/run/isobar/engine-{rank}.sock',
  peerDirectory: '/srv/engine',
  checkpointDirectory: '/srv/engine/checkpoint',
  trace: '/srv/engine/trace.jsonl',
  resultsDirectory: '/srv/engine/results',
  numPhysicalExperts: 48,
  activation: 'two-table',
  spareBuffers: 20,
  reserveBuffers: 4,
  meanLayerMillis: 30,
  loadIntervalMs: 500,
  stagingBytesPerSecond: 2 ** 26,
  faults: {},
};
const configuration = `deployment: d
topology: { ranks: 4, nodes: 2 }
nats: { servers: ["nats://127.0.0.1:4222"] }
coordinator: { passMs: 500, planIntervalMs: 1s }
`;

describe.skipIf(missing !== null)('the Debian package', () => {
  let folder: string;
  let machine: Machine;
  let first: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-deb-'));
    first = await build(join(folder, 'first'), '0.1.0');
    const debs = [first, await build(join(folder, 'next'), '0.2.0'), await packageNode(folder)];
    machine = await Machine.boot(await debianRoot());
    for (const deb of debs) await machine.put(deb, `/root/${deb.slice(deb.lastIndexOf('/') + 1)}`);
    const engine = join(folder, 'engine');
    const args = ['scripts/bundle.js', '--out', engine, '--with-reference-engine'];
    await run(process.execPath, args, { cwd: root, timeout: 300_000 });
    await machine.put(engine, '/opt/engine');
    // The program alone: it needs no library of its own.
    await machine.put(await locateNatsServer(), '/usr/local/bin/nats-server');
  });
  afterAll(async () => {
    await machine?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const journal = (unit: string) => machine.do('journalctl', '--unit', unit, '--output', 'cat');
  const property = async (unit: string, name: string) =>
    (await machine.do('systemctl', 'show', '--property', name, '--value', unit)).trim();

  it('is the same bytes each time', async () => {
    const again = await build(join(folder, 'again'), '0.1.0');
    expect((await readFile(again)).equals(await readFile(first))).toBe(true);
  });

  it('is installed with its user, its folders and the command', async () => {
    const early = await machine.run('dpkg', '--install', '/root/isobar_0.1.0_all.deb');
    expect(early.output).toContain('isobar depends on nodejs (>= 20.19)');
    await machine.do('dpkg', '--install', '/root/nodejs.deb', '/root/isobar_0.1.0_all.deb');
    expect(await machine.do('isobar', '--version')).toBe('0.1.0\n');
    expect(await machine.do('dpkg', '--verify', 'isobar')).toBe('');
    expect(await machine.do('stat', '--format=%U %G %a', '/run/isobar')).toBe('root isobar 2770\n');
    expect(await machine.do('getent', 'passwd', 'isobar')).toMatch(/\/usr\/sbin\/nologin\n$/);
    const checked = await machine.do('isobar', 'config', 'check', '/etc/isobar/isobar.yaml');
    expect(checked).toContain('nothing is wrong with it');
    const completed = 'source /usr/share/bash-completion/completions/isobar && complete -p isobar';
    expect(await machine.do('bash', '-c', completed)).toContain('isobar');
  });

  it.each(units)(
    'has the unit %s, which systemd finds right, and exposed at most by %f',
    async (unit, most) => {
      const name = unit.replace('@', '@0');
      expect((await machine.run('systemd-analyze', 'verify', name)).output).toBe('');
      const { output } = await machine.run('systemd-analyze', 'security', '--no-pager', name);
      const exposed = Number(/Overall exposure level for \S+: (\d+\.\d+)/.exec(output)?.[1]);
      console.info(`systemd-analyze security ${unit}: ${exposed}`);
      expect(exposed, output).toBeLessThanOrEqual(most);
    },
  );

  /** Starts a process of the test as a unit. */
  const start = (unit: string, options: readonly string[], ...command: readonly string[]) =>
    machine.do('systemd-run', '--unit', unit, ...options, '--', ...command);
  const status = async () => {
    const { output } = await machine.run('isobar', '-d', 'd', 'status', '--json');
    return output.startsWith('{') ? (JSON.parse(output) as StatusAnswer) : null;
  };

  it('runs agents and a coordinator as units, which take their ranks from the topology', async () => {
    const store = ['--jetstream', '--store_dir', '/srv/nats', '--addr', '127.0.0.1'];
    await start('nats', [], '/usr/local/bin/nats-server', ...store);
    await machine.write('/etc/isobar/isobar.yaml', configuration);
    await machine.write('/etc/isobar/agent.env', 'ISOBAR_NODE_NAME=node-1\n');
    const names = ['isobar-coordinator.service', 'isobar-agent@0', 'isobar-agent@1'];
    await machine.do('systemctl', 'enable', '--now', ...names);
    await expect.poll(() => journal('isobar-coordinator'), waits).toContain('"msg":"serving"');
    for (const [place, rank] of [
      [0, 2],
      [1, 3],
    ]) {
      await expect
        .poll(() => journal(`isobar-agent@${place}`), waits)
        .toMatch(new RegExp(`"rank":${rank},.*"source":"topology".*"msg":"serving"`));
    }
    const owner = ['stat', '--format=%U %a', '/var/lib/isobar'];
    expect(await machine.do(...owner)).toBe('isobar 700\n');
    const local = ['isobar', 'doctor', '--local', '--config', '/etc/isobar/isobar.yaml'];
    const environment = ['env', 'ISOBAR_NODE_NAME=node-1', 'ISOBAR_LOCAL_RANK=1'];
    expect(await machine.do(...environment, ...local)).toMatch(/^ok {4}rank +3, by topology$/m);
  });

  it('serves engines of another user, plans for them, and sees them end', async () => {
    await machine.do('useradd', '--groups', 'isobar', 'engine');
    await machine.do(
      ...['install', '--directory', '--owner', 'engine', '/srv/engine', '/srv/engine/results'],
    );
    await machine.write('/srv/engine.json', JSON.stringify(engineSettings));
    const engine = ['/usr/bin/node', '/opt/engine/reference-engine.js'];
    const user = ['--uid', 'engine', '--property', 'UMask=0007'];
    await machine.do('runuser', '--user', 'engine', '--', ...engine, 'prepare', '/srv/engine.json');
    for (const rank of ['0', '1', '2', '3']) {
      await start(`engine-${rank}`, user, ...engine, '/srv/engine.json', '--rank', rank);
    }
    // Of the other node of the topology.
    for (const rank of ['0', '1']) {
      const own = ['--uid', 'isobar', '--setenv', 'ISOBAR_NODE_NAME=node-0'];
      const agent = ['isobar', 'agent', '--config', '/etc/isobar/isobar.yaml', '--rank', rank];
      await start(`agent-${rank}`, own, ...agent);
    }
    await expect
      .poll(
        async () => (await status())?.ranks.map(({ engineConnected }) => engineConnected),
        waits,
      )
      .toEqual([true, true, true, true]);
    for (const place of [0, 1]) {
      expect(await journal(`isobar-agent@${place}`)).toContain('"witnessed":true');
    }
    const plan = async () => (await machine.run('isobar', '-d', 'd', 'plan')).output;
    await expect.poll(plan, waits).toMatch(/by the locality-aware policy/);
    const doctor = await machine.run('isobar', '-d', 'd', 'doctor', '--ranks');
    expect(doctor.output).toMatch(/^ok {4}places +4 ranks on 2 machines/m);
    expect(doctor.output).toMatch(/^ok {4}rank 3 +by topology; machine node-1, place 1/m);

    await machine.do('systemctl', 'kill', '--signal', 'KILL', 'engine-3');
    const history = async () => (await machine.run('isobar', '-d', 'd', 'history')).output;
    await expect.poll(history, waits).toMatch(/outcome=committed .*rank 3 has died \(exited\)/);
  });

  it('reads its configuration again, is started again where it fails, and ends where it is asked', async () => {
    await machine.do('systemctl', 'reload', 'isobar-agent@0', 'isobar-coordinator');
    for (const unit of ['isobar-agent@0', 'isobar-coordinator']) {
      await expect.poll(() => journal(unit), waits).toContain('configuration read again');
    }
    await machine.do('systemctl', 'kill', '--signal', 'KILL', 'isobar-agent@0');
    await expect.poll(() => property('isobar-agent@0', 'NRestarts'), waits).toBe('1');
    await expect.poll(() => property('isobar-agent@0', 'ActiveState'), waits).toBe('active');
    await machine.do('systemctl', 'stop', 'isobar-agent@1', 'isobar-coordinator');
    for (const unit of ['isobar-agent@1', 'isobar-coordinator']) {
      expect(await property(unit, 'Result')).toBe('success');
      expect(await property(unit, 'ExecMainStatus')).toBe('0');
    }
  });

  it('is upgraded under what runs, and keeps what was configured', async () => {
    const before = await property('isobar-agent@0', 'MainPID');
    const upgrade = ['dpkg', '--force-confold', '--install', '/root/isobar_0.2.0_all.deb'];
    await machine.do(...upgrade);
    expect(await machine.do('isobar', '--version')).toBe('0.2.0\n');
    expect(await property('isobar-agent@0', 'MainPID')).toBe(before);
    expect(await machine.do('cat', '/etc/isobar/agent.env')).toBe('ISOBAR_NODE_NAME=node-1\n');
    await machine.do('systemctl', 'restart', 'isobar-agent@0');
    await expect.poll(() => property('isobar-agent@0', 'ActiveState'), waits).toBe('active');
  });

  it('is removed with what runs of it, and purged without a trace', async () => {
    await machine.do('systemctl', 'stop', 'agent-0', 'agent-1');
    await machine.do('dpkg', '--remove', 'isobar');
    expect(await property('isobar-agent@0', 'ActiveState')).not.toBe('active');
    expect((await machine.run('pgrep', '-u', 'isobar')).output).toBe('');
    expect(await machine.do('ls', '/etc/isobar')).toContain('isobar.yaml');
    await machine.do('dpkg', '--purge', 'isobar');
    // The journal and the test's own folders aside.
    const others = ['/root', '/opt', '/srv', '/tmp', '/var/log', '/run/log', '/var/tmp'];
    const pruned = others.flatMap((path) => ['-path', path, '-prune', '-o']);
    const left = await machine.do('find', '/', '-xdev', ...pruned, '-name', '*isobar*', '-print');
    expect(left).toBe('');
    expect((await machine.run('getent', 'passwd', 'isobar')).code).toBe(2);
    expect((await machine.run('getent', 'group', 'isobar')).code).toBe(2);
  });
});

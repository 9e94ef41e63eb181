import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { softwareVersion } from '@isobar/protocol';
import {
  GenericContainer,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { awaitState, docker, inspectContainer, inspectImage, runTool } from './docker.js';
import { ReadOnlyContainer } from './read-only-container.js';

const ground = inject('docker');
const root = fileURLToPath(new URL('../..', import.meta.url));
const mebibyte = 1024 * 1024;
const buildDeadlineMs = 280_000;

describe.skipIf(ground === null)('the image', () => {
  const { isobar, referenceEngine, later, environment } = groundOf();
  const base = environment.BASE_IMAGE ?? '';

  it('runs as nobody in particular, and says how it is started, stopped and asked', async () => {
    const { Config } = await inspectImage(isobar);
    expect(Config).toMatchObject({
      User: '65532:65532',
      Entrypoint: ['node', '/usr/lib/isobar/isobar.js'],
      StopSignal: 'SIGTERM',
      Healthcheck: { Test: ['CMD', 'node', '/usr/lib/isobar/health.js'] },
    });
    expect(Config.Env).toContain('ISOBAR_HTTP_LISTEN=127.0.0.1:9480');
  });

  it('has labels that tell version, commit and time', async () => {
    const { Labels } = (await inspectImage(isobar)).Config;
    const { stdout } = await runTool('git', ['-C', root, 'log', '-1', '--format=%H %ct']);
    const [revision, seconds] = stdout.trim().split(' ');
    expect(Labels).toMatchObject({
      'org.opencontainers.image.title': 'Isobar',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': softwareVersion,
      'org.opencontainers.image.revision': revision,
    });
    const created = Labels?.['org.opencontainers.image.created'] ?? '';
    expect(Date.parse(created)).toBe(Number(seconds) * 1_000);
  });

  it('tells its version, and that of a later release', async () => {
    expect(await docker('run', '--rm', '--read-only', isobar, '--version')).toBe(softwareVersion);
    expect(await docker('run', '--rm', '--read-only', later.isobar, '--version')).toBe(
      later.version,
    );
  });

  it('adds less than 120 MB to what it is built on', async () => {
    const added = (await inspectImage(isobar)).Size - (await inspectImage(base)).Size;
    process.stdout.write(`image over its base: ${(added / mebibyte).toFixed(1)} MiB\n`);
    expect(added).toBeGreaterThan(0);
    expect(added).toBeLessThan(120 * 1_000_000);
  });

  it('needs no shell: where the base has none, there is none', async () => {
    const shell = docker('run', '--rm', '--entrypoint', '/bin/sh', base, '-c', 'true');
    const has = await shell.then(
      () => true,
      () => false,
    );
    const inImage = docker('run', '--rm', '--entrypoint', '/bin/sh', isobar, '-c', 'true');
    if (has) await inImage;
    else await expect(inImage).rejects.toThrow();
  });

  it('has a bill of its materials, and their licences', async () => {
    const files = await filesOf(isobar);
    const bill = JSON.parse(files.get('sbom.cdx.json')?.text ?? '');
    const names = bill.components.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(['nats', 'zod', 'pino', 'yaml', 'prom-client']));
    for (const name of names) expect(files.get('THIRD-PARTY-LICENSES.txt')?.text).toContain(name);
  });

  it('holds the reference engine only where it is that image', async () => {
    expect([...(await filesOf(isobar)).keys()]).not.toContain('reference-engine.js');
    expect([...(await filesOf(referenceEngine)).keys()]).toContain('reference-engine.js');
  });

  it(
    'is the same when it is bundled in the image, from the sources alone',
    async () => {
      const tag = `test-source-${randomBytes(4).toString('hex')}`;
      const script = join(root, 'scripts/images.js');
      const args = [script, '--no-cache', '--bundle-from', 'source', '--tag', tag];
      try {
        await runTool(process.execPath, args, environment, buildDeadlineMs);
        const digests = async (image: string) =>
          [...(await filesOf(image))].map(([name, { digest }]) => `${name} ${digest}`);
        expect(await digests(`isobar:${tag}`)).toEqual(await digests(isobar));
        expect(await digests(`isobar-reference-engine:${tag}`)).toEqual(
          await digests(referenceEngine),
        );
      } finally {
        await docker('image', 'rm', '-f', `isobar:${tag}`, `isobar-reference-engine:${tag}`);
      }
    },
    buildDeadlineMs,
  );

  describe('beside a NATS server', () => {
    const volumes = ['agents', 'sockets', 'model', 'results'] as const;
    const prefix = `isobar-test-${randomBytes(4).toString('hex')}`;
    const started: StartedTestContainer[] = [];
    let folder = '';
    let network: StartedNetwork;

    const volume = (name: (typeof volumes)[number], target: string) => ({
      source: `${prefix}-${name}`,
      target,
      mode: 'rw' as const,
    });
    const file = (name: string) => ({
      source: join(folder, name),
      target: `/etc/isobar/${name}`,
      mode: 'ro' as const,
    });

    beforeAll(async () => {
      // Read by testcontainers.
      Object.assign(process.env, environment);
      folder = await mkdtemp(join(tmpdir(), 'isobar-image-'));
      await chmod(folder, 0o755);
      await writeFile(join(folder, 'isobar.yaml'), JSON.stringify(configuration));
      await writeFile(join(folder, 'engine.json'), JSON.stringify(engineSettings));
      network = await new Network().start();
      const nats = new GenericContainer(environment.NATS_IMAGE ?? '')
        .withCommand(['-js'])
        .withNetwork(network)
        .withNetworkAliases('nats')
        .withWaitStrategy(Wait.forLogMessage(/Server is ready/));
      started.push(await nats.start());
    }, 120_000);

    afterAll(async () => {
      for (const container of started.reverse()) await container.stop();
      await network?.stop();
      await docker('volume', 'rm', '-f', ...volumes.map((name) => `${prefix}-${name}`));
      await rm(folder, { recursive: true, force: true });
    }, 60_000);

    /** Starts a service of the image; resolves once it says that it is ready. */
    async function startReady(service: 'agent' | 'coordinator'): Promise<StartedTestContainer> {
      const container = await new ReadOnlyContainer(isobar)
        .withCommand([service, '--config', '/etc/isobar/isobar.yaml'])
        .withEnvironment({ ISOBAR_RANK: '0', ISOBAR_HTTP_LISTEN: '0.0.0.0:9480' })
        .withBindMounts([file('isobar.yaml'), volume('agents', '/var/lib/isobar'), sockets()])
        .withNetwork(network)
        .withExposedPorts(9480)
        .withWaitStrategy(Wait.forHttp('/readyz', 9480).forStatusCode(200))
        .start();
      started.push(container);
      return container;
    }

    /** From the start of its container until it logs a line that says it does its work, in ms. */
    async function startMillis(container: StartedTestContainer, line: string): Promise<number> {
      const { StartedAt } = (await inspectContainer(container.getId())).State;
      const at = await awaitState(`"${line}"`, 30_000, async () => {
        const args = ['logs', '--since', StartedAt, container.getId()];
        const said = (await runTool('docker', args)).stderr.split('\n');
        const found = said.find((each) => each.includes(`"msg":"${line}"`));
        return found === undefined ? null : Date.parse(JSON.parse(found).time);
      });
      return at - Date.parse(StartedAt);
    }

    /** Of three starts the quickest: the others may have had to wait for this machine. */
    async function expectQuickStart(container: StartedTestContainer, line: string): Promise<void> {
      const all = [await startMillis(container, line)];
      while (all.length < 3) {
        await docker('restart', container.getId());
        all.push(await startMillis(container, line));
      }
      process.stdout.write(`from container to "${line}": ${all.join(', ')} ms\n`);
      expect(Math.min(...all)).toBeLessThan(2_000);
    }

    const sockets = () => volume('sockets', '/run/isobar');

    async function expectHealthy(container: StartedTestContainer): Promise<void> {
      await awaitState('health', 30_000, async () => {
        const { Health } = (await inspectContainer(container.getId())).State;
        return Health?.Status === 'healthy' ? true : null;
      });
    }

    /** A container that does not end in time is killed, and its code is another. */
    async function expectCleanStop(container: StartedTestContainer): Promise<void> {
      const askedAtMs = performance.now();
      await docker('stop', '--time', '10', container.getId());
      const { ExitCode } = (await inspectContainer(container.getId())).State;
      process.stdout.write(`ended ${Math.round(performance.now() - askedAtMs)} ms after SIGTERM\n`);
      expect(ExitCode).toBe(0);
    }

    it('coordinates: ready soon, healthy, and ended cleanly by SIGTERM', async () => {
      const coordinator = await startReady('coordinator');
      await expectQuickStart(coordinator, 'serving');
      await expectHealthy(coordinator);
      await expectCleanStop(coordinator);
    }, 120_000);

    it('is the agent of an engine: ready soon, healthy, and ended cleanly by SIGTERM', async () => {
      const bindMounts = [
        file('engine.json'),
        volume('model', '/srv/isobar/model'),
        volume('results', '/srv/isobar/results'),
        sockets(),
      ];
      const engineContainer = (...command: string[]) =>
        new ReadOnlyContainer(referenceEngine)
          .withCommand(command)
          .withBindMounts(bindMounts)
          .withNetworkMode('none');
      const prepared = await engineContainer('prepare', '/etc/isobar/engine.json')
        .withWaitStrategy(Wait.forOneShotStartup())
        .start();
      started.push(prepared);
      const engine = await engineContainer('/etc/isobar/engine.json')
        .withWaitStrategy(Wait.forLogMessage(/"msg":"serving"/))
        .start();
      started.push(engine);
      const agent = await startReady('agent');
      await expectQuickStart(agent, 'engine connected');
      await expectHealthy(agent);
      await expectCleanStop(agent);
      await expectCleanStop(engine);
    }, 120_000);

    it('lives without its NATS server, is not ready, and says what it lacks', async () => {
      const lonely = await new ReadOnlyContainer(isobar)
        .withCommand(['coordinator', '--config', '/etc/isobar/isobar.yaml'])
        .withEnvironment({ ISOBAR_NATS_SERVERS: 'nats://127.0.0.1:1' })
        .withBindMounts([file('isobar.yaml')])
        .withNetworkMode('none')
        .withWaitStrategy(Wait.forLogMessage(/"msg":"probes"/))
        .start();
      started.push(lonely);
      const health = ['node', '/usr/lib/isobar/health.js', '--ready'];
      expect(await lonely.exec(health)).toMatchObject({
        exitCode: 1,
        stdout: '503 lacks a NATS server\n',
      });
      await expectHealthy(lonely);
      await expectCleanStop(lonely);
    }, 60_000);
  });
});

const configuration = {
  deployment: 'demo',
  topology: { ranks: 1, nodes: 1 },
  nats: { servers: ['nats://nats:4222'] },
};

const engineSettings = {
  deployment: 'demo',
  numRanks: 1,
  listen: 'unix:/run/isobar/engine-{rank}.sock',
  peerDirectory: '/run/isobar',
  checkpointDirectory: '/srv/isobar/model/checkpoint',
  trace: '/srv/isobar/model/trace.jsonl',
  resultsDirectory: '/srv/isobar/results',
  numPhysicalExperts: 40,
  activation: 'two-table',
  spareBuffers: 8,
  reserveBuffers: 2,
  meanLayerMillis: 20,
  loadIntervalMs: 500,
  stagingBytesPerSecond: 1e8,
  faults: {},
};

/** Whatever is skipped has no ground, and uses none. */
function groundOf() {
  return (
    ground ?? {
      isobar: '',
      referenceEngine: '',
      later: { isobar: '', version: '' },
      environment: {},
    }
  );
}

interface FoundFile {
  readonly text: string;
  readonly digest: string;
}

/** What an image has in its own folder, by name. */
async function filesOf(image: string): Promise<Map<string, FoundFile>> {
  const folder = await mkdtemp(join(tmpdir(), 'isobar-files-'));
  const container = await docker('create', image);
  try {
    await docker('cp', '-a', `${container}:/usr/lib/isobar`, folder);
    const found = new Map<string, FoundFile>();
    for (const name of (await readdir(join(folder, 'isobar'))).sort()) {
      const path = join(folder, 'isobar', name);
      const text = await readFile(path, 'utf8');
      const digest = createHash('sha256').update(text).digest('hex');
      found.set(name, { text, digest });
    }
    return found;
  } finally {
    await docker('rm', container);
    await rm(folder, { recursive: true, force: true });
  }
}

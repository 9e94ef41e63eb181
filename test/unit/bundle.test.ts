import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../scripts/bundle.js', import.meta.url));
const release = '9.8.7-test.1';
let folder = '';
const bundle = () => join(folder, 'product');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-bundle-'));
  await makeBundle(bundle(), '--release', release);
}, 120_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function makeBundle(out: string, ...more: string[]) {
  const env = { ...process.env, SOURCE_DATE_EPOCH: '1700000000' };
  return run(process.execPath, [script, '--out', out, ...more], { env });
}

/** Every file's content by name. */
async function contents(directory: string): Promise<Map<string, string>> {
  const names = (await readdir(directory)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  return new Map(names.map((name, at) => [name, texts[at] ?? '']));
}

/** Runs a file of the bundle where nothing of the project can be found. */
function runBundled(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return run(process.execPath, [join(bundle(), file), ...args], { cwd: '/', env });
}

describe('a bundle', () => {
  it('is the same to the last byte when it is made again, in another folder', async () => {
    await makeBundle(join(folder, 'again'), '--release', release);
    expect(await contents(join(folder, 'again'))).toEqual(await contents(bundle()));
  });

  it('has the modification time that was asked for', async () => {
    for (const name of await readdir(bundle())) {
      expect((await stat(join(bundle(), name))).mtimeMs).toBe(1_700_000_000_000);
    }
  });

  it('runs the command line and tells its release', async () => {
    const { stdout } = await runBundled('isobar.js', ['--version']);
    expect(stdout).toBe(`${release}\n`);
    expect(JSON.parse(await readFile(join(bundle(), 'package.json'), 'utf8'))).toMatchObject({
      name: 'isobar',
      version: release,
      type: 'module',
    });
  });

  it('issues credentials, which needs what is bundled late', async () => {
    const out = join(folder, 'credentials');
    const args = ['auth', 'init', out, '--ranks', '1', '--kind', 'tls', '--json'];
    expect(JSON.parse((await runBundled('isobar.js', args)).stdout).roles).toContain('agent-0');
  });

  it.each([
    ['agent', ['--rank', '0'], '--config is missing'],
    ['coordinator', [], '--config is missing'],
  ])('runs the %s', async (name, args, says) => {
    const failure = await runBundled('isobar.js', [name, ...args]).catch((error) => error);
    expect(failure.code).toBe(1);
    expect(JSON.parse(failure.stderr.trim().split('\n').at(-1)).err.message).toContain(says);
  });

  it('has the worker that plans', async () => {
    const worker = new Worker(join(bundle(), 'planner-worker.js'));
    const said = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(said).toBe('ready');
    await worker.terminate();
  });

  it('lists every package that is in it, with its licence', async () => {
    const files = await contents(bundle());
    const bill = JSON.parse(files.get('sbom.cdx.json') ?? '');
    expect(bill).toMatchObject({
      bomFormat: 'CycloneDX',
      metadata: { component: { name: 'isobar', version: release } },
    });
    const named = (name: string) =>
      bill.components.find((component: { name: string }) => component.name === name);
    for (const name of ['nats', 'pino', 'zod', 'yaml', '@msgpack/msgpack', 'commander']) {
      const { version, hashes } = named(name);
      expect(hashes).toEqual([
        { alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) },
      ]);
      expect(files.get('THIRD-PARTY-LICENSES.txt')).toContain(`\n${name} ${version} (`);
    }
    const [own] = bill.dependencies.filter(({ ref }: { ref: string }) => ref.includes('/isobar@'));
    expect(own.dependsOn).toContain(named('nats').purl);
  });

  it('holds the reference engine only where that was asked for', async () => {
    const engine = 'services/reference-engine/dist/';
    expect([...(await contents(bundle())).values()].join('')).not.toContain(engine);
    const out = join(folder, 'engine');
    await makeBundle(out, '--with-reference-engine');
    const files = await contents(out);
    expect([...files.keys()]).toContain('reference-engine.js');
    expect([...files.values()].join('')).toContain(engine);
  });

  it('replaces no folder that is none', async () => {
    const other = join(folder, 'other');
    await mkdir(other);
    await expect(makeBundle(other)).rejects.toThrow('no bundle');
    await expect(makeBundle(bundle(), '--release', 'new')).rejects.toThrow('--release');
  });
});

describe('health.js', () => {
  async function answering(status: number, check: (env: NodeJS.ProcessEnv) => Promise<void>) {
    const server = createServer((_, response) => response.writeHead(status).end('so it is'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await check({ ISOBAR_HTTP_LISTEN: `127.0.0.1:${port}` }).finally(() => server.close());
  }

  it('ends with 0 where the service is ready', () =>
    answering(200, async (env) => {
      expect((await runBundled('health.js', [], env)).stdout).toBe('200 so it is\n');
    }));

  it('ends with 1 where it is not, and says why', () =>
    answering(503, async (env) => {
      const failure = { code: 1, stdout: '503 so it is\n' };
      await expect(runBundled('health.js', [], env)).rejects.toMatchObject(failure);
    }));

  it('fails where nothing listens', async () => {
    const env = { ISOBAR_HTTP_LISTEN: '127.0.0.1:1' };
    await expect(runBundled('health.js', [], env)).rejects.toMatchObject({ code: 1 });
  });
});

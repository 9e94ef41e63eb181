import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readNatsContext } from '@isobar/bus';
import { locateNatsServer } from '@isobar/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initAuthentication } from '../src/auth/auth-init.js';
import { kubernetesSecrets, type SecretManifest } from '../src/auth/kubernetes-secrets.js';

const run = promisify(execFile);
/** What the API takes of all values of a Secret together, bytes. */
const secretBytesMax = 1_048_576;

describe('secrets of Kubernetes', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-secrets-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const init = async (kind: 'nkey' | 'password' | 'tls', ranks = 3, deployment = 'd') => {
    const path = join(folder, 'set');
    const sizes = { ranks, coordinators: 1, port: 4_222, valid: 10, route: [] };
    const people = { operator: ['alice'], viewer: [], host: ['nats'] };
    const where = { store: '/data', installedAt: join(folder, 'mounted') };
    await initAuthentication(path, { deployment, kind, ...sizes, ...people, ...where });
    return path;
  };

  /** As a kubelet lays Secrets into one folder: where a key is in two, the later one is seen. */
  const mount = async (to: string, secrets: readonly SecretManifest[]) => {
    const mounted = join(folder, 'mounted', to);
    await mkdir(mounted, { recursive: true });
    const keys = secrets.flatMap(({ data }) => Object.keys(data));
    expect(new Set(keys).size).toBe(keys.length);
    for (const [name, value] of secrets.flatMap(({ data }) => Object.entries(data))) {
      expect(name).toMatch(/^[A-Za-z0-9._-]{1,253}$/);
      await writeFile(join(mounted, name), Buffer.from(value, 'base64'), { mode: 0o400 });
    }
    return mounted;
  };

  it.each(['nkey', 'password', 'tls'] as const)(
    'of kind %s, mounted as they are, hold a context for each process',
    async (kind) => {
      const secrets = await kubernetesSecrets(await init(kind));
      expect(secrets.map(({ metadata }) => metadata.name)).toEqual([
        'isobar-agents',
        'isobar-coordinators',
        'isobar-nats',
      ]);
      const keys = secrets.flatMap(({ data }) => Object.keys(data));
      expect(keys.filter((key) => key.includes('alice'))).toEqual([]);
      const mounted = await mount('auth', secrets.slice(0, 1));
      for (const rank of [0, 1, 2]) {
        const context = await readNatsContext(join(mounted, `agent-${rank}.json`));
        expect(context.inboxPrefix).toBe(`_INBOX.isobar.d.agent-${rank}`);
      }
      const server = secrets[2]?.data ?? {};
      expect(Object.keys(server).sort()).toEqual([
        'accounts-d.conf',
        'ca.pem',
        'certificate.pem',
        'key.pem',
        'nats-server.conf',
      ]);
    },
  );

  it.each([
    [64, ['isobar-agents']],
    [256, ['isobar-agents']],
    [1_024, ['isobar-agents', 'isobar-agents-1', 'isobar-agents-2', 'isobar-agents-3']],
  ])(
    'of %i ranks fit, and a server takes what is in its own',
    { timeout: 120_000 },
    async (ranks, agents) => {
      const set = await init('nkey', ranks, 'deepseek-v3-decode');
      const secrets = await kubernetesSecrets(set);
      const names = secrets.map(({ metadata }) => metadata.name);
      expect(names).toEqual([...agents, 'isobar-coordinators', 'isobar-nats']);
      for (const { data } of secrets) {
        const values = Object.values(data).map((value) => Buffer.from(value, 'base64').length);
        expect(values.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(secretBytesMax);
      }
      const auth = await mount('auth', secrets.slice(0, agents.length));
      for (const rank of [0, ranks - 1]) {
        const { inboxPrefix } = await readNatsContext(join(auth, `agent-${rank}.json`));
        expect(inboxPrefix).toBe(`_INBOX.isobar.deepseek-v3-decode.agent-${rank}`);
      }
      const server = await mount('server', secrets.slice(-1));
      const accounts = await readFile(join(server, 'accounts-deepseek-v3-decode.conf'), 'utf8');
      expect(accounts.match(/nkey: /g)).toHaveLength(ranks + 2);
      const args = ['-t', '-c', join(server, 'nats-server.conf')];
      const { stderr } = await run(await locateNatsServer(), args);
      expect(stderr).toContain('is valid');
    },
  );

  it('are refused where one is over what Kubernetes takes', async () => {
    const set = await init('nkey');
    const accounts = join(set, 'server', 'accounts-d.conf');
    await writeFile(accounts, `${await readFile(accounts, 'utf8')}${'#'.repeat(secretBytesMax)}\n`);
    await expect(kubernetesSecrets(set)).rejects.toMatchObject({
      code: 'ISOBAR_CLI_SECRET_TOO_LARGE',
      fields: { secret: 'isobar-nats', bytesMax: secretBytesMax },
    });
  });

  it('are not made of another folder', async () => {
    const refused = { code: 'ISOBAR_CLI_AUTH_FOLDER' };
    await expect(kubernetesSecrets(join(folder, 'nowhere'))).rejects.toMatchObject(refused);
    await expect(kubernetesSecrets(folder)).rejects.toMatchObject(refused);
    await mkdir(join(folder, 'agent-0'));
    await writeFile(join(folder, 'agent-0', 'context.json'), '{"password":', { mode: 0o600 });
    const error = await kubernetesSecrets(folder).catch((cause: unknown) => cause);
    expect(error).toMatchObject(refused);
    expect(JSON.stringify(error)).not.toContain('password');
  });
});

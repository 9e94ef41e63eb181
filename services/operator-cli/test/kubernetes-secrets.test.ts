import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readNatsContext } from '@isobar/bus';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initAuthentication } from '../src/auth/auth-init.js';
import { kubernetesSecrets } from '../src/auth/kubernetes-secrets.js';

describe('secrets of Kubernetes', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-secrets-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const init = async (kind: 'nkey' | 'password' | 'tls') => {
    const path = join(folder, 'set');
    const sizes = { ranks: 3, coordinators: 1, port: 4_222, valid: 10, route: [] };
    const people = { operator: ['alice'], viewer: [], host: ['nats'] };
    const where = { store: '/data', installedAt: '/etc/isobar' };
    await initAuthentication(path, { deployment: 'd', kind, ...sizes, ...people, ...where });
    return path;
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
      const keys = secrets.flatMap(({ stringData }) => Object.keys(stringData));
      expect(keys.filter((key) => key.includes('alice'))).toEqual([]);
      const [agents] = secrets;
      const mounted = join(folder, 'mounted');
      await mkdir(mounted);
      for (const [name, content] of Object.entries(agents?.stringData ?? {})) {
        expect(name).toMatch(/^[A-Za-z0-9._-]{1,253}$/);
        await writeFile(join(mounted, name), content, { mode: 0o400 });
      }
      for (const rank of [0, 1, 2]) {
        const context = await readNatsContext(join(mounted, `agent-${rank}.json`));
        expect(context.inboxPrefix).toBe(`_INBOX.isobar.d.agent-${rank}`);
      }
      const server = secrets[2]?.stringData ?? {};
      expect(Object.keys(server).sort()).toEqual([
        'accounts-d.conf',
        'ca.pem',
        'certificate.pem',
        'key.pem',
        'nats-server.conf',
      ]);
    },
  );

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

import { X509Certificate } from 'node:crypto';
import { inspect } from 'node:util';
import {
  type AuthenticationPlan,
  authenticationKinds,
  authorityFiles,
  createAuthenticationSet,
} from '@isobar/auth';
import { permissionsOf } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const plan: AuthenticationPlan = {
  kind: 'tls',
  deployment: 'demo',
  numRanks: 2,
  numCoordinators: 1,
  operators: ['alice'],
  viewers: [],
  hosts: ['nats.internal', '10.0.0.1', '::1'],
  port: 4_222,
  routes: [],
  storeDirectory: '/var/lib/nats',
  installedAt: '/etc/isobar',
  validDays: 30,
  authority: null,
};

async function filesOf(changes: Partial<AuthenticationPlan>): Promise<ReadonlyMap<string, string>> {
  return (await createAuthenticationSet({ ...plan, ...changes })).files;
}

function text(files: ReadonlyMap<string, string>, path: string): string {
  const content = files.get(path);
  if (content === undefined) throw new Error(`${path} is not there`);
  return content;
}

const certificate = (files: ReadonlyMap<string, string>, path: string) =>
  new X509Certificate(text(files, path));

describe('a cluster of servers', () => {
  const routes = ['nats-1', 'nats-2', '::1'];

  it('has routes that encrypt, and ask for a password that was drawn', async () => {
    const files = await filesOf({ routes });
    const configuration = text(files, 'server/nats-server.conf');
    const [, password] =
      /authorization: \{[^}]*password: "([0-9a-f]{48})"/.exec(configuration) ?? [];
    for (const host of ['nats-1', 'nats-2', '[::1]']) {
      expect(configuration).toContain(`"tls://route:${password}@${host}:6222"`);
    }
    const again = text(await filesOf({ routes }), 'server/nats-server.conf');
    expect(again).not.toContain(password);
  });

  it('has a certificate for both ends of a route, and for clients at every server', async () => {
    const server = certificate(await filesOf({ routes }), 'server/certificate.pem');
    for (const host of ['nats-1', 'nats-2', 'nats.internal']) {
      expect(server.checkHost(host)).toBe(host);
    }
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  });

  it('has no route to something that is no host', async () => {
    await expect(filesOf({ routes: ['nats://nats-1'] })).rejects.toMatchObject({
      code: 'ISOBAR_AUTH_PLAN',
      fields: { field: 'routes' },
    });
  });

  it('is none where no routes were named', async () => {
    expect(text(await filesOf({}), 'server/nats-server.conf')).not.toContain('cluster');
  });
});

describe('certificates', () => {
  it('are of one authority, for servers by their hosts, for clients by their names', async () => {
    const files = await filesOf({});
    const authority = certificate(files, authorityFiles.certificate);
    const server = certificate(files, 'server/certificate.pem');
    const client = certificate(files, 'agent-1/certificate.pem');
    expect(authority.ca).toBe(true);
    for (const issued of [server, client]) {
      expect(issued.ca).toBe(false);
      expect(issued.verify(authority.publicKey)).toBe(true);
      expect(issued.checkIssued(authority)).toBe(true);
    }
    expect(server.checkHost('nats.internal')).toBe('nats.internal');
    expect(server.checkIP('10.0.0.1')).toBe('10.0.0.1');
    expect(server.checkHost('elsewhere.internal')).toBeUndefined();
    expect(client.subject).toBe('CN=agent-1.demo');
    // Object identifiers of the purposes server and client authentication.
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(client.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('are signed by an authority made before, and end no later than it', async () => {
    const { files, expiresAt } = await createAuthenticationSet(plan);
    const authority = {
      certificate: text(files, authorityFiles.certificate),
      key: text(files, authorityFiles.key),
    };
    const other = { ...plan, deployment: 'other', validDays: 3_000, authority };
    const later = await createAuthenticationSet(other);
    const issued = certificate(later.files, 'coordinator-0/certificate.pem');
    expect(issued.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true);
    // Certificates tell whole seconds.
    expect(Math.abs(later.expiresAt.getTime() - expiresAt.getTime())).toBeLessThan(1_000);
  });

  it('are not made with an authority whose key is another’s, and no key is told', async () => {
    const [one, two] = [await filesOf({}), await filesOf({})];
    const key = text(two, authorityFiles.key);
    const mixed = { certificate: text(one, authorityFiles.certificate), key };
    for (const authority of [mixed, { ...mixed, key: 'no key' }, { certificate: 'none', key }]) {
      const failed = await filesOf({ authority }).catch((error) => error);
      expect(failed).toMatchObject({ code: 'ISOBAR_AUTH_AUTHORITY' });
      const secretLine = key.split('\n')[1] ?? 'missing';
      expect(inspect(failed, { depth: null })).not.toContain(secretLine);
    }
  });
});

describe('a set', () => {
  it.each(authenticationKinds)(
    'gives each role its own secrets and no other (%s)',
    async (kind) => {
      const files = await filesOf({ kind });
      const contexts = ['agent-0', 'agent-1', 'coordinator-0', 'operator-alice'].map((name) =>
        text(files, `${name}/context.json`),
      );
      expect(new Set(contexts).size).toBe(contexts.length);
      expect(JSON.parse(contexts[0] ?? '')).toMatchObject({
        url: 'tls://nats.internal:4222,tls://10.0.0.1:4222,tls://[::1]:4222',
        ca: '/etc/isobar/agent-0/ca.pem',
        inbox_prefix: permissionsOf('demo', { kind: 'agent', rank: 0 }).inboxPrefix,
      });
      // The server learns hashes, public keys or names; never what proves an identity.
      const server = text(files, 'server/accounts-demo.conf');
      for (const [path, content] of files) {
        if (path.startsWith('server/')) continue;
        if (path.endsWith('.nk')) expect(server).not.toContain(content.trim());
        if (!path.endsWith('context.json')) continue;
        const { password = 'PRIVATE KEY' } = JSON.parse(content);
        expect(server).not.toContain(password);
      }
    },
  );

  it.each([
    ['deployment', { deployment: 'a.b' }],
    ['numRanks', { numRanks: 0 }],
    ['numRanks', { numRanks: 1.5 }],
    ['numCoordinators', { numCoordinators: 17 }],
    ['operators', { operators: ['alice', 'alice'] }],
    ['operators', { operators: ['a*'] }],
    ['viewers', { viewers: ['a b'] }],
    ['viewers', { viewers: Array.from({ length: 257 }, (_, index) => `v${index}`) }],
    ['hosts', { hosts: [] }],
    ['hosts', { hosts: ['nats://nats.internal'] }],
    ['port', { port: 65_536 }],
    ['installedAt', { installedAt: 'relative' }],
    ['validDays', { validDays: 0 }],
  ] as const)('is not made for a wrong %s', async (field, changes) => {
    const failed = await filesOf(changes).catch((error) => error);
    expect(failed).toMatchObject({ code: 'ISOBAR_AUTH_PLAN', fields: { field } });
  });
});

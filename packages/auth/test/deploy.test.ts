import { fileURLToPath } from 'node:url';
import {
  accountsFileName,
  authenticationKinds,
  certificateSubject,
  formatAccounts,
  formatServerConfiguration,
  rolesOf,
  type UserProof,
  userName,
} from '@isobar/auth';
import { type Role, roleName } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const deployment = 'demo';
const plan = {
  deployment,
  port: 4_222,
  storeDirectory: '/var/lib/nats',
  installedAt: '/etc/isobar',
};
const roles = rolesOf({
  numRanks: 2,
  numCoordinators: 1,
  operators: ['alice'],
  viewers: ['grafana'],
});

/** What lets nobody in until it is replaced: no password has that hash, no key that name. */
const examples: Readonly<Record<(typeof authenticationKinds)[number], (role: Role) => UserProof>> =
  {
    password: (role) => ({
      user: userName(deployment, role),
      password: `$2b$06$replace-by-the-bcrypt-hash-for-${roleName(role)}`,
    }),
    nkey: (role) => ({ nkey: `replace-by-the-public-key-of-${roleName(role)}` }),
    tls: (role) => ({ user: certificateSubject(userName(deployment, role)) }),
  };

/** `npx --no-install vitest run --project unit packages/auth -u` writes them anew. */
describe('deploy/nats', () => {
  it.each(authenticationKinds)('shows what isobar auth init writes for %s', async (kind) => {
    const folder = fileURLToPath(new URL(`../../../deploy/nats/${kind}`, import.meta.url));
    const server = formatServerConfiguration({ ...plan, kind, routes: [], routePassword: '' });
    await expect(server).toMatchFileSnapshot(`${folder}/nats-server.conf`);
    const accounts = formatAccounts(deployment, roles, examples[kind]);
    await expect(accounts).toMatchFileSnapshot(`${folder}/${accountsFileName(deployment)}`);
  });

  it('shows the configuration of three servers that are one cluster', async () => {
    const routes = ['nats-1.internal', 'nats-2.internal', 'nats-3.internal'];
    const routePassword = 'replace-by-a-drawn-password';
    const server = formatServerConfiguration({ ...plan, kind: 'nkey', routes, routePassword });
    const path = fileURLToPath(
      new URL('../../../deploy/nats/cluster/nats-server.conf', import.meta.url),
    );
    await expect(server).toMatchFileSnapshot(path);
  });
});

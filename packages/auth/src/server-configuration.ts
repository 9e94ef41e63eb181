import type { Role } from '@isobar/protocol';
import { accountsConfiguration, type UserProof } from './accounts.js';
import type { AuthenticationPlan } from './authentication-plan.js';
import { formatConfiguration } from './nats-configuration.js';

type ServerPlan = Pick<
  AuthenticationPlan,
  'kind' | 'deployment' | 'port' | 'storeDirectory' | 'installedAt'
>;

/** Seconds for the handshake: a whole cluster may connect at once. */
const tlsTimeoutSeconds = 10;

export const serverFolder = 'server';

export function accountsFileName(deployment: string): string {
  return `accounts-${deployment}.conf`;
}

/** Main configuration of a NATS server; it includes the deployment's accounts. */
export function formatServerConfiguration(plan: ServerPlan): string {
  const { kind, deployment, port, storeDirectory, installedAt } = plan;
  const file = (name: string) => `${installedAt}/${serverFolder}/${name}`;
  const fields = formatConfiguration({
    listen: `0.0.0.0:${port}`,
    jetstream: { store_dir: storeDirectory },
    tls: {
      cert_file: file('certificate.pem'),
      key_file: file('key.pem'),
      ca_file: file('ca.pem'),
      timeout: tlsTimeoutSeconds,
      ...(kind === 'tls' ? { verify_and_map: true } : {}),
    },
  });
  return `# NATS server for Isobar: one server, with TLS. docs/SECURITY.md says what to add for a cluster.
${fields}
# Accounts of each deployment on this server.
accounts: {
  include ${JSON.stringify(accountsFileName(deployment))}
}
`;
}

/** The deployment's accounts, to be included in the map of a server's accounts. */
export function formatAccounts(
  deployment: string,
  roles: readonly Role[],
  proofOf: (role: Role) => UserProof,
): string {
  const accounts = formatConfiguration(accountsConfiguration(deployment, roles, proofOf));
  return `# Accounts of the Isobar deployment ${deployment}, with exactly the subjects that each role needs.
${accounts}`;
}

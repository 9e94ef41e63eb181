import { isIPv6 } from 'node:net';
import type { Role } from '@isobar/protocol';
import { accountsConfiguration, type UserProof } from './accounts.js';
import type { AuthenticationPlan } from './authentication-plan.js';
import { type ConfigurationFields, formatConfiguration } from './nats-configuration.js';

type ServerPlan = Pick<
  AuthenticationPlan,
  'kind' | 'deployment' | 'port' | 'routes' | 'storeDirectory' | 'installedAt'
> & {
  /** By which the servers of a cluster know each other, beside their certificates. */
  readonly routePassword: string;
};

/** Seconds for the handshake: a whole cluster may connect at once. */
const tlsTimeoutSeconds = 10;
const routePort = 6_222;
const routeUser = 'route';

export const serverFolder = 'server';

export function accountsFileName(deployment: string): string {
  return `accounts-${deployment}.conf`;
}

/** Main configuration of a NATS server; it includes the deployment's accounts. */
export function formatServerConfiguration(plan: ServerPlan): string {
  const { kind, deployment, port, routes, storeDirectory, installedAt } = plan;
  const file = (name: string) => `${installedAt}/${serverFolder}/${name}`;
  const tls = {
    cert_file: file('certificate.pem'),
    key_file: file('key.pem'),
    ca_file: file('ca.pem'),
    timeout: tlsTimeoutSeconds,
  };
  const fields = formatConfiguration({
    listen: `0.0.0.0:${port}`,
    jetstream: { store_dir: storeDirectory },
    tls: { ...tls, ...(kind === 'tls' ? { verify_and_map: true } : {}) },
    ...(routes.length === 0 ? {} : { cluster: clusterFields(plan, tls) }),
  });
  const what =
    routes.length === 0
      ? 'one server, with TLS'
      : `a cluster of ${routes.length} servers, with TLS. Start each with --name and a name of its own`;
  return `# NATS server for Isobar: ${what}. docs/SECURITY.md tells more.
${fields}
# Accounts of each deployment on this server.
accounts: {
  include ${JSON.stringify(accountsFileName(deployment))}
}
`;
}

/**
 * A certificate alone does not make a server of the cluster: with kind `tls` the same authority signs
 * those of agents.
 */
function clusterFields({ routes, routePassword }: ServerPlan, tls: ConfigurationFields) {
  const identity = `${routeUser}:${routePassword}`;
  return {
    name: 'isobar',
    listen: `0.0.0.0:${routePort}`,
    authorization: { user: routeUser, password: routePassword, timeout: tlsTimeoutSeconds },
    tls,
    routes: routes.map((host) => `tls://${identity}@${hostInUrl(host)}:${routePort}`),
  };
}

export function hostInUrl(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
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

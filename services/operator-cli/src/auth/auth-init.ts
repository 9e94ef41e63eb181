import { join, resolve } from 'node:path';
import type { AuthenticationKind, Certificate } from '@isobar/auth';
import { readSecretFile, readSmallFile } from '@isobar/bus';
import { operatorsAccount, roleName } from '@isobar/protocol';
import { writePrivateFolder } from './write-private-folder.js';

export interface AuthInitOptions {
  readonly deployment: string;
  readonly kind: AuthenticationKind;
  readonly ranks: number;
  readonly coordinators: number;
  readonly operator: readonly string[];
  readonly viewer: readonly string[];
  readonly host: readonly string[];
  readonly port: number;
  /** Of the servers of a cluster, one each. */
  readonly route: readonly string[];
  readonly store: string;
  /** Days. */
  readonly valid: number;
  /** Where the folder will lie when it is used; where it is written, if absent. */
  readonly installedAt?: string;
  /** Folder of an authority made before. */
  readonly authority?: string;
}

/** What was written, without a secret. */
export interface AuthInitReport {
  readonly folder: string;
  readonly deployment: string;
  readonly kind: AuthenticationKind;
  /** Folders within the folder, one for each role. */
  readonly roles: readonly string[];
  readonly operatorsAccount: string;
  /** When the certificates end, ISO 8601. */
  readonly expiresAt: string;
}

/**
 * Writes the credentials of a deployment and the configuration of its NATS servers into a folder.
 * @throws IsobarError ISOBAR_AUTH_PLAN, ISOBAR_AUTH_AUTHORITY, ISOBAR_CLI_AUTH_EXISTS,
 *   ISOBAR_CLI_OUTPUT, and of an authority's files ISOBAR_BUS_SECRET_EXPOSED,
 *   ISOBAR_BUS_FILE_UNREADABLE
 */
export async function initAuthentication(
  path: string,
  options: AuthInitOptions,
): Promise<AuthInitReport> {
  // Loaded here: nothing else of the command line needs to issue certificates.
  const { createAuthenticationSet, rolesOf } = await import('@isobar/auth');
  const folder = resolve(path);
  const { deployment, kind } = options;
  const plan = {
    kind,
    deployment,
    numRanks: options.ranks,
    numCoordinators: options.coordinators,
    operators: options.operator,
    viewers: options.viewer,
    hosts: options.host,
    port: options.port,
    routes: options.route,
    storeDirectory: options.store,
    installedAt: resolve(options.installedAt ?? folder),
    validDays: options.valid,
    authority: options.authority === undefined ? null : await readAuthority(options.authority),
  };
  const { files, expiresAt } = await createAuthenticationSet(plan);
  await writePrivateFolder(folder, files);
  return {
    folder,
    deployment,
    kind,
    roles: rolesOf(plan).map(roleName),
    operatorsAccount: operatorsAccount(deployment),
    expiresAt: expiresAt.toISOString(),
  };
}

async function readAuthority(folder: string): Promise<Certificate> {
  const { content: certificate } = await readSmallFile(join(folder, 'ca.pem'));
  return { certificate, key: await readSecretFile(join(folder, 'ca-key.pem')) };
}

export function renderAuthInit(report: AuthInitReport): string {
  const { deployment, folder, roles, kind, expiresAt } = report;
  return `Wrote ${folder}: ${roles.length} identities (${kind}); certificates end ${expiresAt}.

  server/     to every NATS server: nats-server -c server/nats-server.conf, in a cluster with --name NAME
  agent-N/    to the machine of rank N
  coordinator-N/, operator-NAME/, viewer-NAME/   to each, and to nobody else
  authority/  away from all of these: whoever has its key can become anybody

The configuration:   nats: { context: .../{process}/context.json, operatorsAccount: ${report.operatorsAccount} }
A coordinator:       ISOBAR_COORDINATOR_HOLDER=coordinator-N
An operator:         isobar -d ${deployment} --context .../operator-NAME/context.json status
`;
}

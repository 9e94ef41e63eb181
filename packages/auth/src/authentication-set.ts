import { randomBytes } from 'node:crypto';
import {
  accountOf,
  eventsApiPrefix,
  operatorsAccount,
  permissionsOf,
  type Role,
  roleName,
} from '@isobar/protocol';
import { type UserProof, userName } from './accounts.js';
import { type AuthenticationPlan, assertPlan, rolesOf } from './authentication-plan.js';
import { type Certificate, CertificateAuthority } from './certificate-authority.js';
import { type Credentials, createCredentials } from './credentials.js';
import {
  accountsFileName,
  formatAccounts,
  formatServerConfiguration,
  hostInUrl,
  serverFolder,
} from './server-configuration.js';

/** All files of a deployment's credentials. */
export interface AuthenticationSet {
  /** Contents by path within the set; every one is for its owner alone. */
  readonly files: ReadonlyMap<string, string>;
  /** When the certificates end. */
  readonly expiresAt: Date;
}

/** Name of the context file in each role's folder. */
export const contextFileName = 'context.json';

const routePasswordBytes = 24;

/** The authority's files within the set. */
export const authorityFiles: Certificate = {
  certificate: 'authority/ca.pem',
  key: 'authority/ca-key.pem',
};

/**
 * Draws the keys of a deployment and writes its configuration: a folder for the NATS servers, one
 * for each role, each to be copied to its machine, and one for the authority that signed them.
 * @throws IsobarError ISOBAR_AUTH_PLAN naming the field; ISOBAR_AUTH_AUTHORITY
 */
export async function createAuthenticationSet(
  plan: AuthenticationPlan,
): Promise<AuthenticationSet> {
  assertPlan(plan);
  const { deployment, validDays, routes } = plan;
  const authority =
    plan.authority === null
      ? await CertificateAuthority.create(`Isobar ${deployment}`, validDays)
      : await CertificateAuthority.load(plan.authority, validDays);
  const hosts = [...new Set([...plan.hosts, ...routes])];
  const server = await authority.issueServer(`nats.${deployment}`, hosts, routes.length > 0);
  const routePassword = randomBytes(routePasswordBytes).toString('hex');
  const files = new Map([
    [authorityFiles.certificate, authority.pem.certificate],
    [authorityFiles.key, authority.pem.key],
    [`${serverFolder}/ca.pem`, authority.pem.certificate],
    [`${serverFolder}/certificate.pem`, server.certificate],
    [`${serverFolder}/key.pem`, server.key],
    [`${serverFolder}/nats-server.conf`, formatServerConfiguration({ ...plan, routePassword })],
  ]);
  const proofs = new Map<Role, UserProof>();
  for (const role of rolesOf(plan)) {
    const credentials = await createCredentials(plan.kind, userName(deployment, role), authority);
    proofs.set(role, credentials.proof);
    const folder = roleName(role);
    files.set(`${folder}/ca.pem`, authority.pem.certificate);
    files.set(`${folder}/${contextFileName}`, formatContext(plan, role, credentials));
    for (const [name, content] of credentials.files) files.set(`${folder}/${name}`, content);
  }
  const accounts = formatAccounts(deployment, [...proofs.keys()], (role) => proofOf(proofs, role));
  files.set(`${serverFolder}/${accountsFileName(deployment)}`, accounts);
  return { files, expiresAt: authority.expiresAt };
}

function proofOf(proofs: ReadonlyMap<Role, UserProof>, role: Role): UserProof {
  const proof = proofs.get(role);
  if (proof === undefined) throw new Error(`no proof was made for ${roleName(role)}`);
  return proof;
}

/** A context of the stock `nats` client, which wants absolute paths. */
function formatContext(plan: AuthenticationPlan, role: Role, { context }: Credentials): string {
  const { deployment, hosts, port, installedAt } = plan;
  const file = (name: string) => `${installedAt}/${roleName(role)}/${name}`;
  const { nkey, cert, key, ...password } = context;
  const fields = {
    description: `Isobar deployment ${deployment}, ${roleName(role)}`,
    url: hosts.map((host) => `tls://${hostInUrl(host)}:${port}`).join(','),
    ...password,
    ...(nkey === undefined ? {} : { nkey: file(nkey) }),
    ca: file('ca.pem'),
    ...(cert === undefined ? {} : { cert: file(cert) }),
    ...(key === undefined ? {} : { key: file(key) }),
    inbox_prefix: permissionsOf(deployment, role).inboxPrefix,
    ...(accountOf(deployment, role) === operatorsAccount(deployment)
      ? { jetstream_api_prefix: eventsApiPrefix(deployment) }
      : {}),
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

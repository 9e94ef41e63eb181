import { randomBytes } from 'node:crypto';
import { hash } from 'bcryptjs';
import { createUser } from 'nkeys.js';
import type { UserProof } from './accounts.js';
import type { AuthenticationKind } from './authentication-plan.js';
import { type CertificateAuthority, certificateSubject } from './certificate-authority.js';

/** One user's side of its proof, and the server's. */
export interface Credentials {
  readonly proof: UserProof;
  /** Files for the user's folder, by name. */
  readonly files: ReadonlyMap<string, string>;
  /** Fields of the user's context; of files the names. */
  readonly context: {
    readonly user?: string;
    readonly password?: string;
    readonly nkey?: string;
    readonly cert?: string;
    readonly key?: string;
  };
}

const passwordBytes = 24;
/**
 * Low, since passwords are drawn, not chosen: 192 random bits are not guessed however fast a guess
 * is, and a server checks a thousand agents that connect at once.
 */
const bcryptCost = 6;

export function createCredentials(
  kind: AuthenticationKind,
  user: string,
  authority: CertificateAuthority,
): Promise<Credentials> {
  switch (kind) {
    case 'password':
      return createPassword(user);
    case 'nkey':
      return Promise.resolve(createNkey());
    case 'tls':
      return createCertificate(user, authority);
  }
}

async function createPassword(user: string): Promise<Credentials> {
  const password = randomBytes(passwordBytes).toString('base64url');
  return {
    proof: { user, password: await hash(password, bcryptCost) },
    files: new Map(),
    context: { user, password },
  };
}

function createNkey(): Credentials {
  const pair = createUser();
  const seed = new TextDecoder().decode(pair.getSeed());
  return {
    proof: { nkey: pair.getPublicKey() },
    files: new Map([['user.nk', `${seed}\n`]]),
    context: { nkey: 'user.nk' },
  };
}

async function createCertificate(
  user: string,
  authority: CertificateAuthority,
): Promise<Credentials> {
  const { certificate, key } = await authority.issueClient(user);
  return {
    proof: { user: certificateSubject(user) },
    files: new Map([
      ['certificate.pem', certificate],
      ['key.pem', key],
    ]),
    context: { cert: 'certificate.pem', key: 'key.pem' },
  };
}

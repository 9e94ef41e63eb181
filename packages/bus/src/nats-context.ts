import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { IsobarError } from '@isobar/protocol';
import {
  type Authenticator,
  credsAuthenticator,
  jwtAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from 'nats';
import { z } from 'zod';
import { readNscProfile } from './nsc-profile.js';
import { assertPrivate, readSecretFile, readSmallFile } from './secret-file.js';

/** A user's JWT lists its permissions. */
const charactersMax = 16_384;

/** The stock client writes every field, empty where it is not set. */
const text = z
  .string()
  .max(charactersMax)
  .transform((value) => (value === '' ? null : value))
  .nullish()
  .transform((value) => value ?? null);

/** A context of the stock `nats` client, the fields that say how to connect. */
const contextSchema = z.object({
  url: text,
  user: text,
  password: text,
  token: text,
  user_jwt: text,
  user_seed: text,
  nsc: text,
  nkey: text,
  creds: text,
  ca: text,
  cert: text,
  key: text,
  inbox_prefix: text,
  jetstream_api_prefix: text,
});
type ContextFile = z.infer<typeof contextSchema>;

/** Fields that would change how the stock client connects, and are not supported here. */
const unsupportedFields = ['jetstream_domain', 'socks_proxy', 'windows_cert_store'] as const;

/** Fields that hold a secret themselves, and not the name of its file. */
const secretFields = ['password', 'token', 'user_jwt', 'user_seed'] as const;

/** Fields that the stock client also fetches from elsewhere, where they begin with such a scheme. */
const fetchedFields = [...secretFields, 'nkey', 'creds'] as const;
const schemePattern = /^(data|env|file|nsc|op):/i;

/** Certificates and key of a TLS connection, PEM. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * How to reach NATS, and as whom. Secrets are private: whoever logs or prints a context shows none.
 */
export class NatsContext {
  /** URLs that the context names; none where it names none. */
  readonly servers: readonly string[];
  /** Where answers come; the client's own default where null. */
  readonly inboxPrefix: string | null;
  /** Where JetStream is asked for event streams; `$JS.API` where null. */
  readonly apiPrefix: string | null;
  readonly #authenticator: Authenticator | null;
  readonly #tls: TlsMaterial | null;

  /** @internal use readNatsContext */
  constructor(file: ContextFile, authenticator: Authenticator | null, tls: TlsMaterial | null) {
    this.servers = file.url === null ? [] : file.url.split(',').map((url) => url.trim());
    this.inboxPrefix = file.inbox_prefix;
    this.apiPrefix = file.jetstream_api_prefix;
    this.#authenticator = authenticator;
    this.#tls = tls;
  }

  /** @internal for the connection only */
  secrets(): { readonly authenticator: Authenticator | null; readonly tls: TlsMaterial | null } {
    return { authenticator: this.#authenticator, tls: this.#tls };
  }
}

/**
 * Files that say as whom to connect, and how encrypted, over what a context says; paths, from the
 * folder of the process. An identity replaces that of the context whole, whatever its kind.
 */
export interface ConnectionFiles {
  readonly creds?: string;
  readonly nkey?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/**
 * Reads a context file of the stock `nats` client, and the files that it names; relative paths are
 * from its folder.
 * @param path null where there is none, and `files` say all
 * @throws IsobarError ISOBAR_BUS_CONTEXT naming file and field; ISOBAR_BUS_SECRET_EXPOSED naming
 *   file and mode, also of the context itself where a secret is in it;
 *   ISOBAR_BUS_FILE_UNREADABLE
 */
export async function readNatsContext(
  path: string | null,
  files: ConnectionFiles = {},
): Promise<NatsContext> {
  const where = path ?? 'of options alone';
  const read = path === null ? contextSchema.parse({}) : await readFile(path);
  const file = await withProfile(where, overridden(read, files));
  return new NatsContext(file, await authenticatorOf(where, file), await tlsOf(where, file));
}

async function readFile(path: string): Promise<ContextFile> {
  const { content, ...access } = await readSmallFile(path);
  const file = parse(path, content);
  if (secretFields.some((field) => file[field] !== null)) assertPrivate(path, access);
  return file;
}

/** Credentials that `nsc` keeps are a file like any other, once it has told where. */
async function withProfile(path: string, file: ContextFile): Promise<ContextFile> {
  const isNamed = file.creds !== null && /^nsc:/i.test(file.creds);
  const reference = file.nsc ?? (isNamed ? file.creds : null);
  if (reference === null) return file;
  const field = file.nsc === null ? 'creds' : 'nsc';
  if (file.nsc !== null && file.creds !== null) {
    throw refuse(path, 'nsc', 'there is another identity beside it');
  }
  try {
    const { creds, servers } = await readNscProfile(reference);
    return { ...file, nsc: null, creds, url: file.url ?? (servers.join(',') || null) };
  } catch (cause) {
    throw refuse(path, field, cause instanceof Error ? cause.message : String(cause));
  }
}

function overridden(
  file: ContextFile,
  { creds, nkey, cert, key, ca }: ConnectionFiles,
): ContextFile {
  const none = {
    ...{ user: null, password: null, token: null, user_jwt: null, user_seed: null },
    ...{ nsc: null, nkey: null, creds: null },
  };
  const own = (name: string | undefined) => (name === undefined ? null : resolve(name));
  const hasIdentity = creds !== undefined || nkey !== undefined;
  const identity = hasIdentity ? { ...none, creds: own(creds), nkey: own(nkey) } : {};
  const hasCertificate = cert !== undefined || key !== undefined;
  const certificate = hasCertificate ? { cert: own(cert), key: own(key) } : {};
  return { ...file, ...identity, ...certificate, ...(ca === undefined ? {} : { ca: own(ca) }) };
}

function parse(path: string, content: string): ContextFile {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    // No cause: the parser's message quotes the file, and with it perhaps a password.
    throw refuse(path, '', 'it is no JSON');
  }
  const parsed = contextSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw refuse(path, issue?.path.join('.') ?? '', issue?.message ?? 'invalid');
  }
  for (const field of unsupportedFields) {
    if (isSet(value, field)) throw refuse(path, field, 'it is not supported');
  }
  for (const field of fetchedFields) refuseScheme(path, field, parsed.data[field]);
  return parsed.data;
}

/** The value is not told: it may be the secret itself. */
function refuseScheme(path: string, field: string, value: string | null): void {
  const scheme = schemePattern.exec(value ?? '')?.[1]?.toLowerCase();
  if (scheme === undefined || (field === 'creds' && scheme === 'nsc')) return;
  const holds = field === 'creds' || field === 'nkey' ? 'name a file by its path' : 'write it here';
  throw refuse(path, field, `${scheme}: is not fetched from; ${holds}`);
}

function isSet(value: unknown, field: string): boolean {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return entries.some(([name, set]) => name === field && Boolean(set));
}

async function authenticatorOf(path: string, file: ContextFile): Promise<Authenticator | null> {
  const { user, password, token, user_jwt, user_seed, nkey, creds } = file;
  const ways = { user, token, user_jwt, nkey, creds };
  const [, second] = Object.entries(ways).filter(([, value]) => value !== null);
  if (second !== undefined) throw refuse(path, second[0], 'there is another identity beside it');
  if (nkey !== null) return checked(path, 'nkey', await seedAuthenticator(path, nkey));
  if (creds !== null) {
    const content = await readSecretFile(fromFolderOf(path, creds));
    return checked(path, 'creds', credsAuthenticator(new TextEncoder().encode(content)));
  }
  if (user_seed !== null && user_jwt === null) {
    throw refuse(path, 'user_jwt', 'user_seed goes with it');
  }
  if (user_jwt !== null) return checked(path, 'user_seed', tokenOfUser(user_jwt, user_seed));
  if (token !== null) return tokenAuthenticator(token);
  if ((user === null) !== (password === null)) {
    throw refuse(path, user === null ? 'user' : 'password', 'user and password go together');
  }
  return user === null || password === null ? null : usernamePasswordAuthenticator(user, password);
}

/** @param seed signs the server's nonce; null where the token itself is all that is asked for */
function tokenOfUser(token: string, seed: string | null): Authenticator {
  return jwtAuthenticator(
    token.trim(),
    seed === null ? undefined : new TextEncoder().encode(seed.trim()),
  );
}

async function seedAuthenticator(path: string, nkey: string): Promise<Authenticator> {
  const seed = (await readSecretFile(fromFolderOf(path, nkey))).trim();
  return nkeyAuthenticator(new TextEncoder().encode(seed));
}

/** Signs once: a key that can't is told now, by its file, and not at each attempt to connect. */
function checked(path: string, field: string, authenticator: Authenticator): Authenticator {
  try {
    authenticator('nonce');
  } catch {
    // No cause: what it says of a key's content is nobody's business.
    throw refuse(path, field, 'no such key is in it, or in the file that it names');
  }
  return authenticator;
}

async function tlsOf(path: string, file: ContextFile): Promise<TlsMaterial | null> {
  const { ca, cert, key } = file;
  if ((cert === null) !== (key === null)) {
    throw refuse(path, cert === null ? 'cert' : 'key', 'cert and key go together');
  }
  if (ca === null && cert === null) return null;
  const read = async (name: string) => (await readSmallFile(fromFolderOf(path, name))).content;
  return {
    ...(ca === null ? {} : { ca: await read(ca) }),
    ...(cert === null ? {} : { cert: await read(cert) }),
    ...(key === null ? {} : { key: await readSecretFile(fromFolderOf(path, key)) }),
  };
}

function fromFolderOf(path: string, name: string): string {
  return name.startsWith('~/') ? join(homedir(), name.slice(2)) : resolve(dirname(path), name);
}

function refuse(path: string, field: string, why: string): IsobarError {
  const text = `NATS context ${path}${field === '' ? '' : `, field ${field}`}: ${why}`;
  return new IsobarError('ISOBAR_BUS_CONTEXT', text, { file: path, field });
}

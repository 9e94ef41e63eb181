import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { readSecretFile } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';
import { z } from 'zod';

/** A Secret of Kubernetes, as its API takes it. */
export interface SecretManifest {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly type: 'Opaque';
  /** Base64, by key: with `stringData` a server-side apply leaves keys behind that are gone. */
  readonly data: Readonly<Record<string, string>>;
}

/** Whose folders go into which Secret; those of people go into none. */
const holders = [
  { name: 'isobar-agents', pattern: /^agent-(\d{1,5})$/ },
  { name: 'isobar-coordinators', pattern: /^coordinator-(\d{1,5})$/ },
] as const;
/**
 * By number, whatever they take: pods have all Secrets in one folder, and one that is left of an earlier,
 * larger set must have no key in common with those of now. With a certificate each it is 0.3 MiB.
 */
const rolesOfSecret = 256;
/** Of the values of one Secret together, bytes: the API refuses more. */
const secretBytesMax = 2 ** 20;
/** Accounts of more would not fit into a Secret without their indentation either. */
const serverFileBytesMax = 2 * secretBytesMax;
const serverFolder = 'server';
const contextFile = 'context.json';
/** Every role has the same; the first Secret of each kind has it. */
const authorityFile = 'ca.pem';
const contextSchema = z.record(z.string(), z.unknown());
/** Fields of a context that name files beside it. */
const pathFields = ['nkey', 'creds', 'cert', 'key'] as const;

/**
 * The folder that `auth init` has written as Secrets: of agents, for each 256 ranks; of the coordinators;
 * of the NATS servers. A key of a Secret has no folders, so `agent-0/context.json` is `agent-0.json` in it,
 * and names the files beside it by what they are called there.
 * @throws IsobarError ISOBAR_CLI_AUTH_FOLDER, ISOBAR_CLI_SECRET_TOO_LARGE; ISOBAR_BUS_SECRET_EXPOSED,
 *   ISOBAR_BUS_FILE_UNREADABLE
 */
export async function kubernetesSecrets(folder: string): Promise<SecretManifest[]> {
  const names = await namesIn(folder);
  const roleSecrets = await Promise.all(holders.map((holder) => secretsOf(folder, names, holder)));
  const server = await filesOf(join(folder, serverFolder), serverFileBytesMax);
  const files = [...server].map(([name, content]) => [name, withoutIndentation(name, content)]);
  return [...roleSecrets.flat(), secret('isobar-nats', Object.fromEntries(files))];
}

async function secretsOf(
  folder: string,
  names: readonly string[],
  { name, pattern }: (typeof holders)[number],
): Promise<SecretManifest[]> {
  const parts = new Map<number, Record<string, string>>();
  for (const role of names) {
    const number = pattern.exec(role)?.[1];
    if (number === undefined) continue;
    const index = Math.floor(Number(number) / rolesOfSecret);
    const contents = parts.get(index) ?? {};
    parts.set(index, contents);
    const { [authorityFile]: authority = '', ...own } = flattened(
      role,
      await filesOf(join(folder, role)),
    );
    Object.assign(contents, own, index === 0 ? { [authorityFile]: authority } : {});
  }
  if (!parts.has(0)) throw refuse(folder, `it holds no role for ${name}`);
  return [...parts]
    .sort(([one], [other]) => one - other)
    .map(([index, contents]) => secret(index === 0 ? name : `${name}-${index}`, contents));
}

/** A quarter of a server's accounts is indentation, and no text in them goes over a line's end. */
function withoutIndentation(name: string, content: string): string {
  return name.endsWith('.conf') ? content.replaceAll(/^ +/gm, '') : content;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    throw refuse(folder, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

async function filesOf(folder: string, bytesMax?: number): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of await namesIn(folder)) {
    files.set(name, await readSecretFile(join(folder, name), bytesMax));
  }
  return files;
}

function flattened(role: string, files: ReadonlyMap<string, string>): Record<string, string> {
  const keyOf = (file: string) => (file === authorityFile ? file : `${role}.${file}`);
  const context = contextOf(role, files.get(contextFile) ?? '');
  const named = pathFields.flatMap((field) => {
    const path = context[field];
    return typeof path === 'string' ? [[field, keyOf(basename(path))] as const] : [];
  });
  const own = { ...context, ...Object.fromEntries(named), ca: authorityFile };
  const others = [...files].filter(([file]) => file !== contextFile);
  return {
    [`${role}.json`]: `${JSON.stringify(own, null, 2)}\n`,
    ...Object.fromEntries(others.map(([file, content]) => [keyOf(file), content])),
  };
}

function contextOf(role: string, content: string): Record<string, unknown> {
  try {
    return contextSchema.parse(JSON.parse(content));
  } catch {
    // No cause: the parser's message quotes the file, and with it perhaps a password.
    throw refuse(role, `its ${contextFile} is none`);
  }
}

function secret(name: string, contents: Readonly<Record<string, string>>): SecretManifest {
  const values = Object.entries(contents).map(([key, text]) => [key, Buffer.from(text)] as const);
  const bytes = values.reduce((sum, [, value]) => sum + value.length, 0);
  if (bytes > secretBytesMax) {
    const text = `the Secret ${name} would have ${bytes} bytes; Kubernetes takes ${secretBytesMax}`;
    const fields = { secret: name, bytes, bytesMax: secretBytesMax };
    throw new IsobarError('ISOBAR_CLI_SECRET_TOO_LARGE', text, fields);
  }
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels: { 'app.kubernetes.io/part-of': 'isobar' } },
    type: 'Opaque',
    data: Object.fromEntries(values.map(([key, value]) => [key, value.toString('base64')])),
  };
}

function refuse(folder: string, why: string, cause?: unknown): IsobarError {
  const text = `${folder} is no folder of isobar auth init: ${why}`;
  return new IsobarError('ISOBAR_CLI_AUTH_FOLDER', text, { folder }, { cause });
}

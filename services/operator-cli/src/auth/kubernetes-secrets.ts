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
  readonly stringData: Readonly<Record<string, string>>;
}

/** Whose folders go into which Secret; those of people go into none. */
const holders = [
  { name: 'isobar-agents', pattern: /^agent-\d{1,5}$/ },
  { name: 'isobar-coordinators', pattern: /^coordinator-\d{1,5}$/ },
] as const;
const serverFolder = 'server';
const contextFile = 'context.json';
/** Every role has the same. */
const authorityFile = 'ca.pem';
const contextSchema = z.record(z.string(), z.unknown());
/** Fields of a context that name files beside it. */
const pathFields = ['nkey', 'creds', 'cert', 'key'] as const;

/**
 * The folder that `auth init` has written as Secrets: one of all agents, one of the coordinators, one of
 * the NATS servers. A key of a Secret has no folders, so `agent-0/context.json` is `agent-0.json` in it,
 * and names the files beside it by what they are called there.
 * @throws IsobarError ISOBAR_CLI_AUTH_FOLDER; ISOBAR_BUS_SECRET_EXPOSED, ISOBAR_BUS_FILE_UNREADABLE
 */
export async function kubernetesSecrets(folder: string): Promise<SecretManifest[]> {
  const roles = await namesIn(folder);
  const secrets: SecretManifest[] = [];
  for (const { name, pattern } of holders) {
    const data: Record<string, string> = {};
    for (const role of roles.filter((each) => pattern.test(each))) {
      Object.assign(data, flattened(role, await filesOf(join(folder, role))));
    }
    if (Object.keys(data).length === 0) throw refuse(folder, `it holds no role for ${name}`);
    secrets.push(secret(name, data));
  }
  const server = await filesOf(join(folder, serverFolder));
  return [...secrets, secret('isobar-nats', Object.fromEntries(server))];
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    throw refuse(folder, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

async function filesOf(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of await namesIn(folder)) {
    files.set(name, await readSecretFile(join(folder, name)));
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

function secret(name: string, stringData: Readonly<Record<string, string>>): SecretManifest {
  const labels = { 'app.kubernetes.io/part-of': 'isobar' };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels },
    type: 'Opaque',
    stringData,
  };
}

function refuse(folder: string, why: string, cause?: unknown): IsobarError {
  const text = `${folder} is no folder of isobar auth init: ${why}`;
  return new IsobarError('ISOBAR_CLI_AUTH_FOLDER', text, { folder }, { cause });
}

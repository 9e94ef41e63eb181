import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from './debian-package.js';

const run = promisify(execFile);
const buildDeadlineMs = 600_000;

/** An executable that Go builds from a module of its own. */
export interface GoExecutable {
  readonly name: string;
  readonly package: string;
  /** Pinned: a test's result should not change by itself. */
  readonly version: string;
}

/** A current one, beside Debian's 2.9.10. */
export const currentNatsServer: GoExecutable = {
  name: 'nats-server',
  package: 'github.com/nats-io/nats-server/v2',
  version: 'v2.15.3',
};

/** The stock command-line client. */
export const natsClient: GoExecutable = {
  name: 'nats',
  package: 'github.com/nats-io/natscli/nats',
  version: 'v0.5.1',
};

/** Builds manifests of Kubernetes from bases and components. */
export const kustomize: GoExecutable = {
  name: 'kustomize',
  package: 'sigs.k8s.io/kustomize/kustomize/v5',
  version: 'v5.7.1',
};

/**
 * Path of the executable, built into the project's cache where it is not there yet.
 * @returns null where there is no Go
 * @throws whatever `go install` failed with
 */
export async function buildGoExecutable(
  { name, package: path, version }: GoExecutable,
  environment: Readonly<Record<string, string | undefined>> = process.env,
  cache: string = cacheDirectory,
): Promise<string | null> {
  const folder = join(cache, `${name}-${version}`);
  const executable = join(folder, name);
  if (existsSync(executable)) return executable;
  const folders = (environment.PATH ?? '').split(delimiter);
  if (!folders.some((each) => existsSync(join(each, 'go')))) return null;
  await run('go', ['install', `${path}@${version}`], {
    env: { ...environment, GOBIN: folder },
    timeout: buildDeadlineMs,
  });
  return executable;
}

import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { softwareVersion } from '@isobar/protocol';
import type { TestProject } from 'vitest/node';

/** What the tests build on: names of images, and variables for whatever talks to Docker. */
export interface DockerGround {
  readonly isobar: string;
  readonly referenceEngine: string;
  /** Of the same sources, under a later version. */
  readonly later: { readonly isobar: string; readonly version: string };
  readonly environment: Readonly<Record<string, string>>;
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Null where there is no Docker. */
    readonly docker: DockerGround | null;
  }
}

const run = promisify(execFile);
const script = (name: string) => fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));
const tag = 'test';

/** Finds or starts a Docker engine and builds the images; afterwards ends what it has started. */
export default async function prepareEngine(project: TestProject): Promise<() => Promise<void>> {
  const mayInstall = process.env.CI !== undefined;
  if (!mayInstall && !isUsable()) {
    process.stderr.write('no Docker, or no compose: the tests of images and compose are skipped\n');
    project.provide('docker', null);
    return async () => undefined;
  }
  const stop = () => run(process.execPath, [script('docker-engine.js'), 'stop']);
  try {
    project.provide('docker', await prepareGround(mayInstall));
  } catch (error) {
    await stop();
    throw error;
  }
  return async () => {
    // Each build leaves the stage in which it bundled, with all packages of the project.
    const stage = ['--force', '--filter', 'label=isobar.stage=bundle'];
    await run('docker', ['image', 'prune', ...stage]);
    await stop();
  };
}

function isUsable(): boolean {
  const succeeds = (...words: string[]) => {
    const [command = '', ...args] = words;
    return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
  };
  const hasCompose =
    succeeds('docker', 'compose', 'version') || succeeds('docker-compose', 'version');
  return hasCompose && succeeds('docker', 'info');
}

/** A patch after the one that is built from these sources. */
function laterVersion(): string {
  const [major, minor, patch] = softwareVersion.split('.');
  return `${major}.${minor}.${Number(patch) + 1}-test`;
}

async function prepareGround(mayInstall: boolean): Promise<DockerGround> {
  const args = ['start', ...(mayInstall ? ['--install'] : [])];
  const { stdout } = await run(process.execPath, [script('docker-engine.js'), ...args]);
  const environment = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  // testcontainers reads it from the environment of the tests.
  const build = async (...more: string[]) => {
    const env = { ...process.env, ...environment };
    await run(process.execPath, [script('images.js'), ...more], { env });
  };
  await build('--tag', tag);
  const version = laterVersion();
  await build('--tag', `${tag}-later`, '--release', version);
  return {
    isobar: `isobar:${tag}`,
    referenceEngine: `isobar-reference-engine:${tag}`,
    later: { isobar: `isobar:${tag}-later`, version },
    environment,
  };
}

import { type ChildProcess, type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { installedIsobar } from './installed.js';

const isobarOfClone = fileURLToPath(
  new URL('../../services/operator-cli/bin/isobar.js', import.meta.url),
);

export interface IsobarRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line while it runs. */
export interface RunningIsobar {
  readonly child: ChildProcess;
  readonly ended: Promise<IsobarRun>;
  /** Resolves once standard error or output holds such a text; rejects where it ends without. */
  said(text: RegExp): Promise<void>;
}

/** Runs the command line as its users do. */
export function runIsobar(...args: string[]): Promise<IsobarRun> {
  return startIsobar(...args).ended;
}

/** As it is in a clone of the project, which alone has the demo. */
export function runIsobarOfClone(...args: string[]): Promise<IsobarRun> {
  return startNode(isobarOfClone, ...args).ended;
}

/** As `runIsobar`, with something to read on its standard input. */
export function runIsobarOn(input: string, ...args: string[]): Promise<IsobarRun> {
  const child = spawn(process.execPath, [installedIsobar, ...args], { stdio: 'pipe' });
  // It may end without having read.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return watched(child).ended;
}

export function startIsobar(...args: string[]): RunningIsobar {
  return startNode(installedIsobar, ...args);
}

/** A script of the command line's, such as that of another release. */
export function startNode(script: string, ...args: string[]): RunningIsobar {
  return watched(spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }));
}

/** Where util-linux is, whose `script` gives a program a terminal. */
export const hasTerminals = spawnSync('script', ['--version']).status === 0;

/**
 * Runs it at a terminal of its own: all that it shows is on standard output, and what is written to the
 * child's standard input is typed.
 */
export function startAtTerminal(...args: string[]): RunningIsobar & { type(keys: string): void } {
  const words = [process.execPath, installedIsobar, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qefc', `stty rows 30 cols 100; exec ${words}`, '/dev/null'], {
    stdio: 'pipe',
    env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' },
  });
  return { ...watched(child), type: (keys) => child.stdin.write(keys) };
}

function watched(child: ChildProcessByStdio<Writable | null, Readable, Readable>): RunningIsobar {
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<IsobarRun>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  const said = (text: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => text.test(stderr + stdout) && resolve();
      child.stderr.on('data', look);
      child.stdout.on('data', look);
      child.once('close', () => reject(new Error(`it ended without ${text}: ${stderr}${stdout}`)));
      look();
    });
  return { child, ended, said };
}

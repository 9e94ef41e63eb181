import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const isobarBin = fileURLToPath(
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
  /** Resolves once standard error holds such a text; rejects where it ends without. */
  said(text: RegExp): Promise<void>;
}

/** Runs the command line as its users do. */
export function runIsobar(...args: string[]): Promise<IsobarRun> {
  return startIsobar(...args).ended;
}

export function startIsobar(...args: string[]): RunningIsobar {
  const child = spawn(process.execPath, [isobarBin, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
      const look = () => text.test(stderr) && resolve();
      child.stderr.on('data', look);
      child.once('close', () => reject(new Error(`it ended without ${text}: ${stderr}`)));
      look();
    });
  return { child, ended, said };
}

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const isobarBin = fileURLToPath(
  new URL('../../services/operator-cli/bin/isobar.js', import.meta.url),
);

export interface IsobarRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line as its users do. */
export function runIsobar(...args: string[]): Promise<IsobarRun> {
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
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

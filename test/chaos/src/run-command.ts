import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a command of the system. @throws Error with what it said */
export async function runCommand(command: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute(command, args);
  return stdout;
}

/** Whether the process that named a leftover is gone. */
export function isGone(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return false;
  } catch {
    return true;
  }
}

/** Why this machine can't be changed as `what` needs; null where it can. */
export function withoutRoot(what: string): string | null {
  if (process.platform === 'linux' && process.getuid?.() === 0) return null;
  return `${what} needs root on Linux`;
}

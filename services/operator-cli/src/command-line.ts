import { CommanderError } from 'commander';
import { oneLine } from './drawing/fit.js';
import { errorCodeOf, exitCodeOf, exitCodes } from './exit-codes.js';
import { type CommandGroup, createProgram } from './program.js';

/** Runs the command that the arguments name, and sets `process.exitCode`. */
export async function runCommandLine(more: readonly CommandGroup[]): Promise<void> {
  // Whoever reads the output may stop before its end, as `head` does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    await createProgram(more).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
      return;
    }
    if (error instanceof Error && error.name === 'AbortError') return;
    const code = errorCodeOf(error);
    const message = error instanceof Error ? error.message : String(error);
    // A coordinator's refusal begins with its code already.
    const isTold = code === null || message.startsWith(`${code}: `);
    process.stderr.write(
      `isobar: ${isTold ? '' : `${code}: `}${message.split('\n').map(oneLine).join('\n')}\n`,
    );
    // What has no code of ours is a bug: show where.
    if (code === null && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

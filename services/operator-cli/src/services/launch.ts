import type { CommandGroup } from '../program.js';
import { isService, runService } from './run-service.js';

/**
 * Runs a service where the first argument names one, else the command line, which a service does not
 * load: it is a good part of the time until an agent is ready.
 * @param more groups of commands beside those that every installation has
 */
export async function launch(more: () => Promise<readonly CommandGroup[]>): Promise<void> {
  const [name = '', ...args] = process.argv.slice(2);
  const asksForHelp = args.some((argument) => argument === '--help' || argument === '-h');
  if (isService(name) && !asksForHelp) return runService(name, args);
  const { runCommandLine } = await import('../command-line.js');
  await runCommandLine(await more());
}

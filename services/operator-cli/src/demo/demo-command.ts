import { type Command, Option } from 'commander';
import { print } from '../commands/shared.js';
import { exitCodes } from '../exit-codes.js';
import { count, durationOption } from '../option-values.js';
import { runDemo } from './demo.js';
import type { DemoOptions } from './demo-options.js';
import { isClean } from './demo-report.js';
import { renderReport } from './render-report.js';

/** The demo needs the reference engine, which not every installation has. */
export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('Runs a whole cluster of processes on this machine and watches it balance itself.')
    .option('--ranks <number>', 'ranks, each an engine and an agent', count(1, 64), 8)
    .option('--nodes <number>', 'nodes that the ranks are spread over', count(1, 64), 2)
    .option('--slots <number>', 'physical slots of a layer, over all ranks', count(1, 4_096), 80)
    .option('--trace <file>', 'load or token trace to serve; generated traffic where absent')
    .addOption(durationOption('--duration <duration>', 'how long to serve', '30s'))
    .option('--seed <number>', 'seed of the generated traffic', count(0, 2 ** 31 - 1), 1)
    .addOption(
      new Option('--activation <way>', 'how engines switch')
        .choices(['two-table', 'in-place'])
        .default('two-table'),
    )
    .action((_, command: Command) => demo(command));
}

async function demo(command: Command): Promise<void> {
  const { duration: durationMs, ...given } = command.optsWithGlobals<
    Omit<DemoOptions, 'durationMs'> & { readonly duration: number }
  >();
  const interrupted = new AbortController();
  const interrupt = () => {
    // A second Ctrl-C does not wait: the guard of the cluster cleans up.
    if (interrupted.signal.aborted) process.exit(exitCodes.interrupted);
    process.exitCode = exitCodes.interrupted;
    interrupted.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const report = await runDemo({ ...given, durationMs }, interrupted.signal);
  process.stderr.write(renderReport(report));
  if (given.json) print(JSON.stringify(report));
  process.exitCode = isClean(report) ? exitCodes.ok : exitCodes.failed;
}

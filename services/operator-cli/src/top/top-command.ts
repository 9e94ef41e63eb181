import type { Command } from 'commander';
import { type GlobalOptions, print, withClient, wrongOptions } from '../commands/shared.js';
import { durationBetween } from '../duration.js';
import { durationOption } from '../option-values.js';
import { isInteractive } from '../terminal/confirm.js';
import { paintFor } from '../terminal/paint.js';
import { renderTop } from './render-top.js';
import { lookOnce, TopView } from './top-view.js';

/** Where nobody tells how wide the output is. */
const columnsDefault = 100;

interface TopCommandOptions extends GlobalOptions {
  readonly interval: number;
  readonly once: boolean;
}

export function addTop(program: Command): void {
  program
    .command('top')
    .description('The deployment as it is now, drawn anew on the whole screen until q is pressed.')
    .addOption(
      durationOption(
        '--interval <duration>',
        'between two questions to the coordinator',
        '1s',
        durationBetween(200, 60_000),
      ),
    )
    .option('--once', 'print one frame, and end', false)
    .action((_, command: Command) => top(command));
}

function top(command: Command): Promise<void> {
  const { once, interval, deployment, json, color } = command.optsWithGlobals<TopCommandOptions>();
  if (json && !once) return wrongOptions(command, "'--json' needs '--once'");
  if (once) return printOnce(command);
  if (!isInteractive() || !process.stdout.isTTY) {
    return wrongOptions(command, 'top needs a terminal; --once prints one frame');
  }
  const paint = paintFor(process.stdout, color);
  let view: TopView | null = null;
  return withClient(
    command,
    async (client) => {
      view = new TopView(client, { deployment, intervalMs: interval, paint });
      process.exitCode = await view.run();
    },
    (error) => view?.onError(error),
  );
}

function printOnce(command: Command): Promise<void> {
  return withClient(command, async (client, { deployment, json, color }) => {
    const state = await lookOnce(client, deployment);
    const { status, events } = state;
    const size = { columns: process.stdout.columns ?? columnsDefault, rows: null };
    const paint = paintFor(process.stdout, color);
    print(json ? JSON.stringify({ status, events }) : renderTop(state, size, paint).join('\n'));
  });
}

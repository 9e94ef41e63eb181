import { randomBytes } from 'node:crypto';
import type { ChangeAnswer, ChangeCommandName, CommandInput } from '@isobar/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CoordinatorClient } from '../coordinator-client.js';
import { printable } from '../drawing/fit.js';
import { parseDuration } from '../duration.js';
import { exitCodes } from '../exit-codes.js';
import { confirm, isInteractive } from '../terminal/confirm.js';
import { onInterruption } from '../terminal/on-interruption.js';
import { paintFor } from '../terminal/paint.js';
import { ChangeProgress } from './change-progress.js';
import { followChange } from './follow-change.js';
import { renderChange } from './render-change.js';
import { type GlobalOptions, print, tell, withClient, wrongOptions } from './shared.js';

/** Options of every command that changes something. */
interface ChangeOptions {
  readonly requestId?: string;
  readonly dryRun: boolean;
  readonly yes: boolean;
  /** Milliseconds; true: until it is done, false: not at all. */
  readonly wait: number | boolean;
}

/** Outcomes of which a script must not take a command for done. */
const failures: ReadonlySet<string | null> = new Set([
  'void',
  'superseded',
  'outdated',
  'degraded',
  'unknown',
  'would-be-refused',
]);

/** Adds what every command that changes something takes. */
export function changing(command: Command): Command {
  return command
    .option('--dry-run', 'say what it would do, or why it would be refused; change nothing', false)
    .option('-y, --yes', 'do it without a question', false)
    .addOption(
      new Option('--wait <duration>', 'wait for the outcome for so long')
        .argParser(parseDuration)
        .default(true, 'until it is there'),
    )
    .option('--no-wait', 'do not wait for the outcome')
    .option(
      '--request-id <id>',
      'sent again with the same id it is not done again, and the outcome is told',
      requestId,
    );
}

function requestId(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError('must be 1 to 64 letters, digits, _ or -');
}

/**
 * The one way in which a command changes something: shows what it would do, asks, has it done, and
 * tells what became of it.
 */
export function change<Name extends ChangeCommandName>(
  command: Command,
  name: Name,
  question: CommandInput<Name>,
): Promise<void> {
  const { yes, dryRun } = command.opts<ChangeOptions>();
  if (!yes && !dryRun && !isInteractive()) {
    const text = `${name} changes the deployment, and nobody is at a terminal to be asked`;
    return wrongOptions(command, `${text}: say --yes, or --dry-run to see what it would do`);
  }
  return withClient(command, async (client, options) => {
    const preview: ChangeAnswer = await client.ask(name, { ...question, ...previewOf(command) });
    const isRefused = failures.has(preview.outcome);
    if (dryRun || isRefused) {
      if (dryRun || options.json) printAnswer(preview, options);
      else tell(renderChange(printable(preview)));
      if (isRefused) process.exitCode = exitCodes.failed;
      return;
    }
    tell(renderChange(printable(preview)));
    if (!yes && !(await isConfirmed())) return;
    await carryOut({ client, command, options }, name, pinned(command, question, preview));
  });
}

function previewOf(command: Command): { readonly dryRun: true; readonly requestId?: string } {
  const { requestId: id } = command.opts<ChangeOptions>();
  return { dryRun: true, ...(id === undefined ? {} : { requestId: id }) };
}

async function isConfirmed(): Promise<boolean> {
  const answer = await confirm('Apply?');
  if (answer === 'yes') return true;
  tell('nothing was changed');
  process.exitCode = answer === 'interrupted' ? exitCodes.interrupted : exitCodes.failed;
  return false;
}

/**
 * Of plans, the one that somebody has looked at is meant; whichever waits where nobody was asked. Under
 * an id that the user chose the question stays as it was given: an id stands for one question, and it
 * may have been sent before.
 */
function pinned<Name extends ChangeCommandName>(
  command: Command,
  question: CommandInput<Name>,
  { command: name, plan }: ChangeAnswer,
): CommandInput<Name> {
  const isOfPlan = name === 'approve' || name === 'refuse';
  const { requestId: chosen, yes } = command.opts<ChangeOptions>();
  return isOfPlan && plan !== null && chosen === undefined && !yes
    ? { ...question, plan: plan.id }
    : question;
}

interface Context {
  readonly client: CoordinatorClient;
  readonly command: Command;
  readonly options: GlobalOptions;
}

async function carryOut<Name extends ChangeCommandName>(
  { client, command, options }: Context,
  name: Name,
  question: CommandInput<Name>,
): Promise<void> {
  const { requestId: chosen, wait } = command.opts<ChangeOptions>();
  const id = chosen ?? randomBytes(8).toString('hex');
  const interrupted = new AbortController();
  const stopListening = onInterruption(() => interrupted.abort());
  const progress = new ChangeProgress(client, {
    command: name,
    stream: process.stderr,
    paint: paintFor(process.stderr, options.color),
  });
  try {
    const answer = await followChange(
      client,
      name,
      { ...question, requestId: id },
      {
        waitMsMax: typeof wait === 'number' ? wait : wait ? null : 0,
        onRunning: (running) => progress.show(running),
        signal: interrupted.signal,
      },
    );
    progress.stop();
    printAnswer(answer, options);
    if (answer.outcome === null) {
      tell(howToGoOn(id));
      if (wait !== false) process.exitCode = exitCodes.running;
    }
    if (failures.has(answer.outcome)) process.exitCode = exitCodes.failed;
  } catch (error) {
    progress.stop();
    if (!interrupted.signal.aborted) throw error;
    tell(`isobar: ${name} goes on; nobody waits for it here any more`);
    tell(howToGoOn(id));
    process.exitCode = exitCodes.interrupted;
  } finally {
    stopListening();
  }
}

function howToGoOn(id: string): string {
  return [
    '  to look at it   isobar top, or isobar status',
    `  to wait on      the same command with --request-id ${id}`,
    '  to cancel it    isobar cancel',
  ].join('\n');
}

function printAnswer(answer: ChangeAnswer, { json }: GlobalOptions): void {
  print(json ? JSON.stringify(answer) : renderChange(printable(answer)));
}

import type { ChangeAnswer, ChangeCommandName, CommandInput } from '@isobar/protocol';
import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../duration.js';
import { exitCodes } from '../exit-codes.js';
import { bytes } from '../table.js';
import { renderPlan } from './render-status.js';
import { print, withClient } from './shared.js';

/** Options of every command that changes something. */
interface ChangeOptions {
  readonly requestId?: string;
  readonly dryRun: boolean;
  readonly wait?: number;
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
    .option('--wait <duration>', 'how long to wait for the outcome (default: 2s)', parseDuration)
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

/** Asks a command that changes something, and tells what became of it. */
export function change<Name extends ChangeCommandName>(
  command: Command,
  name: Name,
  question: CommandInput<Name>,
): Promise<void> {
  return withClient(command, async (client, { json }) => {
    const { requestId: id, dryRun, wait } = command.opts<ChangeOptions>();
    const envelope = {
      ...(id === undefined ? {} : { requestId: id }),
      ...(dryRun ? { dryRun } : {}),
      ...(wait === undefined ? {} : { waitMs: wait }),
    };
    const answer: ChangeAnswer = await client.ask(name, { ...question, ...envelope });
    print(json ? JSON.stringify(answer) : renderChange(answer));
    if (failures.has(answer.outcome)) process.exitCode = exitCodes.failed;
  });
}

/** A command's answer for a person. */
export function renderChange(answer: ChangeAnswer): string {
  const { command, dryRun, outcome, reason, code, effect, plan, requestId: id } = answer;
  const told = dryRun ? `${command} (dry run)` : command;
  const lines = [`${told}: ${(outcome ?? 'running').replaceAll('-', ' ')}`];
  if (reason !== '') lines[0] += `: ${code === null ? '' : `${code}: `}${reason}`;
  if (effect !== null) {
    const { moves, waves, ranks } = effect;
    const where = ranks.length === 0 ? '' : ` on rank ${ranks.join(', ')}`;
    lines.push(`${moves} moves (${bytes(effect.bytes)}) in ${waves} waves${where}`);
  }
  if (plan !== null) lines.push(renderPlan(plan));
  lines.push(renderControl(answer));
  if (outcome === null) {
    lines.push(`ask again with --request-id ${id} to wait for what becomes of it`);
  }
  return lines.join('\n');
}

function renderControl({ control, version }: ChangeAnswer): string {
  const { mode, paused, held, drained, slotLimits, dead } = control;
  const parts = [`mode ${mode}${paused ? ', paused' : ''}`];
  if (version !== null) parts.push(`version ${version} in force`);
  if (held !== null) parts.push(`held: ${held}`);
  if (drained.length > 0) parts.push(`drained: rank ${drained.join(', ')}`);
  const limited = slotLimits.map(({ rank, slots }) => `rank ${rank} to ${slots} slots`);
  if (limited.length > 0) parts.push(`limited: ${limited.join(', ')}`);
  const told = dead.map(({ rank, incarnation }) => `rank ${rank} (${incarnation})`);
  if (told.length > 0) parts.push(`declared dead: ${told.join(', ')}`);
  return parts.join('; ');
}

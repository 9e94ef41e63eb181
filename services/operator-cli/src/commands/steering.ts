import {
  type ControlAnswer,
  controlAnswerSchema,
  planSummarySchema,
  rollbackAnswerSchema,
} from '@isobar/coordinator';
import { type Command, InvalidArgumentError } from 'commander';
import { count } from '../option-values.js';
import { renderPlan } from './render-status.js';
import { print, withClient, wrongOptions } from './shared.js';

const ranksMax = 65_535;

/** Commands that say what balancing may do. */
export function addSteering(program: Command): void {
  program
    .command('approve')
    .argument('[plan]', 'id of the plan that is meant; whichever waits, where absent')
    .description('Applies the plan that waits for approval (mode approve).')
    .action((plan: string | undefined, _, command: Command) =>
      withClient(command, async (client, { json }) => {
        const question = plan === undefined ? {} : { plan };
        const approved = await client.ask('approve', question, planSummarySchema);
        print(json ? JSON.stringify(approved) : renderPlan(approved));
      }),
    );
  program
    .command('mode')
    .description('Sets what the coordinator does on its own.')
    .argument('<mode>', 'observe: record only; approve: ask first; automatic: act')
    .action((mode: string, _, command: Command) => steer(command, 'mode', { mode }));
  program
    .command('pause')
    .description('Begins no further wave; the one under way is finished.')
    .action((_, command: Command) => steer(command, 'pause', {}));
  program
    .command('resume')
    .description('Ends a pause, and lets balancing go on that a rollback has held.')
    .action((_, command: Command) => steer(command, 'resume', {}));
  program
    .command('cancel')
    .description('Voids the swap that is open, where it is not decided yet, and drops its waves.')
    .option('--reason <text>', 'kept with the version')
    .action((_, command: Command) => steer(command, 'cancel', command.opts<{ reason?: string }>()));
  program
    .command('rollback')
    .argument('<version>', 'an earlier version', count(0, Number.MAX_SAFE_INTEGER))
    .description(
      'Goes back to the mapping of an earlier version, as far as the ranks of today can have it. ' +
        'Balancing by itself is held from then on, until isobar resume.',
    )
    .action((version: number, _, command: Command) =>
      withClient(command, async (client, { json }) => {
        const answer = await client.ask('rollback', { version }, rollbackAnswerSchema);
        const { moves, waves, held } = answer;
        const text = `rollback to version ${version} has begun: ${moves} moves in ${waves} waves; held: ${held}`;
        print(json ? JSON.stringify(answer) : text);
      }),
    );
}

/** Commands that say which ranks take part. */
export function addMembers(program: Command): void {
  const ofRank = (name: string, description: string) =>
    program
      .command(name)
      .argument('<rank>', 'rank', count(0, ranksMax))
      .description(description)
      .action((rank: number, _, command: Command) => steer(command, name, { rank }));
  ofRank('drain', 'Moves all experts away from a rank and keeps it empty; it goes on serving.');
  ofRank('undrain', 'Lets a drained rank hold experts again.');
  ofRank('leave', 'Moves all experts away from a rank and lets it go: its engine stops.');
  program
    .command('declare-dead')
    .argument('<rank>', 'rank', count(0, ranksMax))
    .argument('<incarnation>', 'of the engine, 16 hex digits, as isobar status tells it', hex)
    .option('--yes', 'you have made sure that no such process runs any more', false)
    .description(
      'Vouches that an engine process has ended, where neither its agent nor the other ranks can. ' +
        'If it runs on after all, it may serve tokens that nobody else knows of.',
    )
    .action((rank: number, incarnation: string, _, command: Command) => {
      if (command.opts<{ yes: boolean }>().yes) {
        return steer(command, 'declare-dead', { rank, incarnation });
      }
      const what = `rank ${rank} with incarnation ${incarnation} would be taken for dead for good`;
      return wrongOptions(command, `${what}; make sure that it is, and say so with --yes`);
    });
}

function hex(text: string): string {
  if (/^[0-9a-f]{16}$/.test(text)) return text;
  throw new InvalidArgumentError('must be 16 hex digits');
}

function steer(command: Command, name: string, question: unknown): Promise<void> {
  return withClient(command, async (client, { json }) => {
    const answer = await client.ask(name, question, controlAnswerSchema);
    print(json ? JSON.stringify(answer) : renderControl(answer));
  });
}

function renderControl({ mode, paused, held, drained, dead }: ControlAnswer): string {
  const parts = [`mode ${mode}${paused ? ', paused' : ''}`];
  if (held !== null) parts.push(`held: ${held}`);
  if (drained.length > 0) parts.push(`drained: rank ${drained.join(', ')}`);
  const told = dead.map(({ rank, incarnation }) => `rank ${rank} (${incarnation})`);
  if (told.length > 0) parts.push(`declared dead: ${told.join(', ')}`);
  return parts.join('; ');
}

import { modeSchema } from '@isobar/protocol';
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { count } from '../option-values.js';
import { change, changing } from './changing.js';
import { readMappingFile } from './mapping-file.js';
import { wrongOptions } from './shared.js';

const ranksMax = 65_535;
const layersMax = 1_024;
const slotsMax = 262_144;

/** Commands that say what balancing may do. */
export function addSteering(program: Command): void {
  changing(program.command('mode'))
    .description('Sets what the coordinator does on its own.')
    .addArgument(
      new Argument('<mode>', 'observe: record only; approve: ask first; automatic: act').choices(
        modeSchema.options,
      ),
    )
    .action((mode: string, _, command: Command) =>
      change(command, 'mode', { mode: modeSchema.parse(mode) }),
    );
  changing(program.command('pause'))
    .description('Begins no further wave; the one under way is finished.')
    .action((_, command: Command) => change(command, 'pause', {}));
  changing(program.command('resume'))
    .description('Ends a pause, and lets balancing go on that a rollback or an import has held.')
    .action((_, command: Command) => change(command, 'resume', {}));
  changing(program.command('cancel'))
    .description('Voids the swap that is open, where it is not decided yet, and drops its waves.')
    .option('--reason <text>', 'kept with the version')
    .action((_, command: Command) => {
      const { reason } = command.opts<{ reason?: string }>();
      return change(command, 'cancel', reason === undefined ? {} : { reason });
    });
  addPlans(program);
  addPlacements(program);
}

function addPlans(program: Command): void {
  for (const [name, description] of [
    ['approve', 'Applies the plan that waits for approval (mode approve).'],
    ['refuse', 'Drops the plan that waits; none is proposed until loads have changed.'],
  ] as const) {
    changing(program.command(name))
      .argument('[plan]', 'id of the plan that is meant; whichever waits, where absent')
      .description(description)
      .action((plan: string | undefined, _, command: Command) =>
        change(command, name, plan === undefined ? {} : { plan }),
      );
  }
  changing(program.command('rebalance'))
    .description('Plans and applies now, in any mode, whether it pays or not.')
    .option('--layers <list>', 'these MoE layers alone, such as 0,2; the first is 0', layers)
    .action((_, command: Command) => {
      const { layers: chosen } = command.opts<{ layers?: number[] }>();
      return change(command, 'rebalance', chosen === undefined ? {} : { layers: chosen });
    });
}

function addPlacements(program: Command): void {
  changing(program.command('rollback'))
    .argument('<version>', 'an earlier version', count(0, Number.MAX_SAFE_INTEGER))
    .description(
      'Goes back to the mapping of an earlier version, as far as the ranks of today can have it. ' +
        'Balancing by itself is held from then on, until isobar resume.',
    )
    .action((version: number, _, command: Command) => change(command, 'rollback', { version }));
  changing(program.command('import'))
    .argument('<file>', 'mapping as isobar export prints it; - is standard input')
    .description(
      'Goes to a mapping from a file, as far as the ranks of today can have it. ' +
        'Balancing by itself is held from then on, until isobar resume.',
    )
    .action(async (file: string, _, command: Command) =>
      change(command, 'import', { mapping: await readMappingFile(file) }),
    );
}

/** Commands that say which ranks take part. */
export function addMembers(program: Command): void {
  addDrains(program);
  changing(program.command('leave'))
    .argument('<rank>', 'rank', count(0, ranksMax))
    .description('Moves all experts away from a rank and lets it go: its engine stops.')
    .action((rank: number, _, command: Command) => change(command, 'leave', { rank }));
  changing(program.command('offer'))
    .requiredOption('--rank <rank>', 'rank', count(0, ranksMax))
    .requiredOption('--slots <slots>', 'slots of every layer; all: no limit', slotsOrAll)
    .description(
      'Limits the slots that a rank may use, its first ones of every layer; the others are emptied.',
    )
    .action((_, command: Command) => {
      const { rank, slots } = command.opts<{ rank: number; slots: number | 'all' }>();
      return change(command, 'offer', { rank, slots: slots === 'all' ? null : slots });
    });
  changing(program.command('declare-dead'))
    .argument('<rank>', 'rank', count(0, ranksMax))
    .argument('<incarnation>', 'of the engine, 16 hex digits, as isobar status tells it', hex)
    .description(
      'Vouches that an engine process has ended, where neither its agent nor the other ranks can. ' +
        'If it runs on after all, it may serve tokens that nobody else knows of: make sure first.',
    )
    .action((rank: number, incarnation: string, _, command: Command) =>
      change(command, 'declare-dead', { rank, incarnation }),
    );
}

function addDrains(program: Command): void {
  for (const [name, description] of [
    ['drain', 'Moves all experts away from a rank, or a node, and keeps it empty; it serves on.'],
    ['undrain', 'Lets a drained rank, or all ranks of a node, hold experts again.'],
  ] as const) {
    changing(program.command(name))
      .argument('[rank]', 'rank', count(0, ranksMax))
      .option('--node <name>', 'all ranks of a node of the topology, instead of a rank')
      .description(description)
      .action((rank: number | undefined, _, command: Command) => {
        const { node } = command.opts<{ node?: string }>();
        if ((rank === undefined) === (node === undefined)) {
          return wrongOptions(command, "name either a rank or '--node <name>'");
        }
        const named = rank === undefined ? {} : { rank };
        return change(command, name, { ...named, ...(node === undefined ? {} : { node }) });
      });
  }
}

function layers(text: string): number[] {
  const numbers = text
    .split(',')
    .map((part) => (/^\d{1,4}$/.test(part) ? Number(part) : layersMax));
  if (numbers.every((layer) => layer < layersMax)) return numbers;
  throw new InvalidArgumentError(`must be layers below ${layersMax}, separated by commas`);
}

function slotsOrAll(text: string): number | 'all' {
  return text === 'all' ? text : count(0, slotsMax)(text);
}

function hex(text: string): string {
  if (/^[0-9a-f]{16}$/.test(text)) return text;
  throw new InvalidArgumentError('must be 16 hex digits');
}

import type { CommandEffect, StatusAnswer } from '@isobar/protocol';
import { bar, bytes, seconds } from '../table.js';
import { type Paint, plain } from '../terminal/paint.js';

const barWidth = 20;

/** What each phase waits for, of every rank that it needs. */
const phaseWords: Readonly<Record<string, string>> = {
  preparing: 'voted',
  activating: 'activated',
  retiring: 'retired',
  discarding: 'discarded',
};

/** The swap under way in one line; null where none is. */
export function swapLine({ swap, ranks }: StatusAnswer, paint: Paint = plain): string | null {
  if (swap === null) return null;
  const parts = [`version ${swap.version}`, paint('cyan', swap.phase)];
  const needed = swap.neededRanks?.length;
  const word = phaseWords[swap.phase];
  if (needed !== undefined && word !== undefined) {
    parts.push(`${needed - swap.missingRanks.length}/${needed} ranks ${word}`);
  }
  if (swap.phase === 'preparing') {
    const staging = ranks.flatMap(({ staged }) =>
      staged?.version === swap.version ? [staged] : [],
    );
    const staged = staging.reduce((sum, { staged: done }) => sum + done, 0);
    const total = staging.reduce((sum, { total: all }) => sum + all, 0);
    if (total > 0) parts.push(`${bar(staged / total, 12)} ${staged}/${total} experts`);
  }
  if (swap.bytes !== undefined) parts.push(bytes(swap.bytes));
  return parts.join('  ');
}

/** A command that is running, as it is shown to whoever waits for it. */
export interface RunningCommand {
  readonly command: string;
  readonly effect: CommandEffect | null;
  readonly elapsedMs: number;
}

/** How far a command is: all of it, then the wave that is open. */
export function progressLines(
  status: StatusAnswer,
  { command, effect, elapsedMs }: RunningCommand,
  paint: Paint = plain,
): string[] {
  const { swap } = status;
  const took = seconds(elapsedMs);
  if (swap === null) return [`${command}  waiting to begin  ${took}`];
  const { waves, of } = waveOf(swap.wavesWaiting, effect);
  const share = (waves - 1 + shareOfWave(swap)) / of;
  const all = effect === null ? '' : `  ${bytes(effect.bytes)} in all`;
  return [
    `${command}  ${paint('green', bar(share, barWidth))}  wave ${waves} of ${of}${all}  ${took}`,
    `  ${swapLine(status, paint) ?? ''}`,
  ];
}

/** A wave may have been cut further since the effect was told. */
function waveOf(waiting: number, effect: CommandEffect | null) {
  const of = Math.max(effect?.waves ?? 0, waiting + 1);
  return { waves: of - waiting, of };
}

const phases = ['preparing', 'deciding', 'activating', 'retiring'];

function shareOfWave(swap: NonNullable<StatusAnswer['swap']>): number {
  const phase = phases.indexOf(swap.phase);
  if (phase < 0) return 0;
  const needed = swap.neededRanks?.length ?? 0;
  const within = needed === 0 ? 0 : (needed - swap.missingRanks.length) / needed;
  return (phase + within) / phases.length;
}

/** What changes rarely of it: a line of its own where there is no terminal. */
export function progressLine(status: StatusAnswer, { command, effect }: RunningCommand): string {
  const { swap } = status;
  if (swap === null) return `${command}: waiting to begin`;
  const { waves, of } = waveOf(swap.wavesWaiting, effect);
  return `${command}: wave ${waves} of ${of}: version ${swap.version} ${swap.phase}`;
}

import { styleText } from 'node:util';
import type { StatusAnswer } from '@isobar/protocol';
import { bar, optional } from '../table.js';

const barWidth = 30;
/** Load share at which a bar is full: twice the mean. */
const shareMax = 2;

/** The cluster as a person watches it: redrawn in a terminal, single lines elsewhere. */
export class LiveView {
  readonly #stream: NodeJS.WriteStream;
  #linesDrawn = 0;
  #first: number | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** An event worth a line that stays. */
  say(text: string): void {
    this.#erase();
    this.#stream.write(`${text}\n`);
  }

  draw(status: StatusAnswer, secondsLeft: number): void {
    this.#first ??= status.load.balancedness;
    if (!this.#stream.isTTY) return;
    const lines = this.#render(status, secondsLeft);
    this.#erase();
    this.#stream.write(`${lines.join('\n')}\n`);
    this.#linesDrawn = lines.length;
  }

  /** Leaves the last drawing behind. */
  close(): void {
    this.#linesDrawn = 0;
  }

  #erase(): void {
    if (this.#linesDrawn > 0) this.#stream.write(`\u001b[${this.#linesDrawn}A\u001b[0J`);
    this.#linesDrawn = 0;
  }

  #render(status: StatusAnswer, secondsLeft: number): string[] {
    const { load, mapping, ranks } = status;
    const step = optional(load.meanStepMillis, 0);
    return [
      '',
      ...ranks.map(({ rank, loadShare, mappingVersion, engineConnected }) => {
        const share = loadShare ?? 0;
        const drawn = bar(share / shareMax, barWidth);
        const colour = share > 1.25 ? 'red' : share > 1.1 ? 'yellow' : 'green';
        const state = engineConnected ? `version ${mappingVersion ?? '-'}` : 'engine away';
        return `  rank ${String(rank).padStart(2)}  ${styleText(colour, drawn)}  ${share.toFixed(2)} × mean  ${state}`;
      }),
      `  balancedness ${optional(load.balancedness, 3)} (first seen ${optional(this.#first, 3)}), step ${step} ms, version ${mapping.version}`,
      `  ${swapLine(status)}`,
      `  ${Math.max(0, Math.ceil(secondsLeft))} s left`,
    ];
  }
}

function swapLine(status: StatusAnswer): string {
  const { swap, ranks } = status;
  if (swap === null) return 'no swap under way';
  const staged = ranks.reduce((sum, rank) => sum + (rank.staged?.staged ?? 0), 0);
  const total = ranks.reduce((sum, rank) => sum + (rank.staged?.total ?? 0), 0);
  const progress = total === 0 ? '' : ` ${bar(staged / total, 12)} ${staged}/${total} experts`;
  return `swap to version ${swap.version}: ${swap.phase}${progress}, ${swap.wavesWaiting} waves waiting`;
}

import type { StatusAnswer } from '@isobar/protocol';
import { swapLine } from '../commands/render-progress.js';
import { fit } from '../drawing/fit.js';
import { rankRows } from '../drawing/rank-rows.js';
import { counted, optional } from '../table.js';
import { paintFor } from '../terminal/paint.js';
import { RedrawnLines } from '../terminal/redrawn-lines.js';

/** Where the terminal does not tell. */
const columnsDefault = 80;
const widthMax = 90;

/** The cluster as a person watches it: redrawn in a terminal, single lines elsewhere. */
export class LiveView {
  readonly #stream: NodeJS.WriteStream;
  readonly #lines: RedrawnLines;
  #first: number | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#lines = new RedrawnLines(stream);
  }

  /** An event worth a line that stays. */
  say(text: string): void {
    this.#lines.erase();
    this.#stream.write(`${text}\n`);
  }

  draw(status: StatusAnswer, secondsLeft: number): void {
    this.#first ??= status.load.balancedness;
    if (!this.#stream.isTTY) return;
    this.#lines.draw(this.#render(status, secondsLeft));
  }

  /** Leaves the last drawing behind. */
  close(): void {
    this.#lines.keep();
  }

  #render(status: StatusAnswer, secondsLeft: number): string[] {
    const { load, mapping, ranks, swap } = status;
    const { columns = columnsDefault } = this.#stream;
    const paint = paintFor(this.#stream);
    const step = optional(load.meanStepMillis, 0);
    const waiting = swap === null ? '' : `  ${counted(swap.wavesWaiting, 'wave')} waiting`;
    return [
      '',
      ...rankRows(ranks, Math.min(columns, widthMax) - 2, paint),
      `balancedness ${optional(load.balancedness, 3)} (first seen ${optional(this.#first, 3)}), step ${step} ms, version ${mapping.version}`,
      `swap ${swapLine(status, paint) ?? 'none'}${waiting}`,
      `${Math.max(0, Math.ceil(secondsLeft))} s left`,
    ].map((line) => fit(line === '' ? line : `  ${line}`, columns));
  }
}

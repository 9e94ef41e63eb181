import { type RefusalCount, RefusalEpisodes, type RefusalTelling } from '@isobar/protocol';

export interface RefusalAlarmOptions {
  /** Between two events while messages go on being refused; a whole one without ends the alarm. */
  readonly periodMs: number;
  readonly tell: (kind: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** Whose messages, and why, in one event. */
const toldMax = 64;
/**
 * What any change of leader brings: an alarm only where it lasts. An overflow is no wrong message; the
 * process logs it.
 */
const patientWith: ReadonlySet<string> = new Set(['fenced', 'overflow']);

/** Raises the alarm `messages-refused` for the leader and for every rank that tells of some. */
export class RefusalAlarm {
  readonly #options: RefusalAlarmOptions;
  readonly #episodes: RefusalEpisodes;
  readonly #due: RefusalTelling[] = [];
  #isRaised = false;

  constructor(options: RefusalAlarmOptions) {
    this.#options = options;
    this.#episodes = new RefusalEpisodes({ periodMs: options.periodMs, patientWith });
  }

  /** Under way, by source. */
  get open(): RefusalTelling[] {
    return this.#episodes.open;
  }

  /** @param source `coordinator`, or `rank` and its number */
  hear(source: string, counts: readonly RefusalCount[], nowMs: number): void {
    this.#due.push(...this.#episodes.observe(source, counts, nowMs));
  }

  /** One event for all that is due. */
  tick(nowMs: number): void {
    const due = [...this.#due.splice(0), ...this.#episodes.tick(nowMs)];
    const refused = due.filter(({ phase }) => phase !== 'ended');
    if (refused.length > 0) {
      this.#isRaised = true;
      this.#options.tell('alarm', {
        alarm: 'messages-refused',
        refused: refused.slice(0, toldMax).map(({ phase: _, ...told }) => told),
        more: Math.max(0, refused.length - toldMax),
      });
    }
    if (!this.#isRaised || this.#episodes.open.length > 0) return;
    this.#isRaised = false;
    this.#options.tell('alarm-cleared', { alarm: 'messages-refused' });
  }
}

import type { RefusalCount } from './refusal-counts.js';

/** One thing to tell: refusals of a kind and reason have begun, go on, or have stopped. */
export interface RefusalTelling extends RefusalCount {
  readonly phase: 'began' | 'goes-on' | 'ended';
  /** Whose count it is. */
  readonly source: string;
  /** Refused since the last telling; `count` is the total. */
  readonly since: number;
}

interface Episode {
  readonly source: string;
  readonly kind: string;
  readonly reason: string;
  /** Total when it was last told. */
  told: number;
  count: number;
  toldAtMs: number;
  /** False until the first telling, of what is not told at once. */
  isTold: boolean;
}

export interface RefusalEpisodesOptions {
  /** From one telling of an episode to the next; a whole one without a refusal ends it. */
  readonly periodMs: number;
  /** Reasons that are told only once they have lasted for a period. @default none */
  readonly patientWith?: ReadonlySet<string>;
}

/**
 * Makes of counts what a person should be told, at a bounded rate however many messages are refused:
 * an episode is told when it begins, once in each period while it goes on, and when it has stopped.
 * Sources are the caller's to bound.
 */
export class RefusalEpisodes {
  readonly #options: RefusalEpisodesOptions;
  /** Under way. */
  readonly #episodes = new Map<string, Episode>();
  /** Last totals seen, by source, kind and reason. */
  readonly #totals = new Map<string, number>();

  constructor(options: RefusalEpisodesOptions) {
    this.#options = options;
  }

  /** Episodes that were told and have not ended. */
  get open(): RefusalTelling[] {
    return [...this.#episodes.values()]
      .filter(({ isTold }) => isTold)
      .map((episode) => telling(episode, 'goes-on'));
  }

  /**
   * Takes the totals of one source. A total lower than the one before is a process that began anew.
   * @param nowMs monotonic
   */
  observe(source: string, counts: readonly RefusalCount[], nowMs: number): RefusalTelling[] {
    return counts.flatMap((of) => this.#observeOne(source, of, nowMs));
  }

  #observeOne(source: string, { kind, reason, count }: RefusalCount, nowMs: number) {
    const key = `${source} ${kind} ${reason}`;
    const before = this.#totals.get(key) ?? 0;
    this.#totals.set(key, count);
    const episode = this.#episodes.get(key);
    if (episode !== undefined) {
      if (count < episode.count) episode.told = 0;
      episode.count = count;
      return [];
    }
    if (count === before) return [];
    const told = count < before ? 0 : before;
    const isTold = this.#options.patientWith?.has(reason) !== true;
    const begun: Episode = { source, kind, reason, told, count, toldAtMs: nowMs, isTold };
    this.#episodes.set(key, begun);
    if (!isTold) return [];
    const tellings = [telling(begun, 'began')];
    begun.told = count;
    return tellings;
  }

  /** What is due by now. */
  tick(nowMs: number): RefusalTelling[] {
    const tellings: RefusalTelling[] = [];
    for (const [key, episode] of this.#episodes) {
      if (nowMs - episode.toldAtMs < this.#options.periodMs) continue;
      const goesOn = episode.isTold ? episode.count > episode.told : this.#hasLasted(episode);
      if (goesOn) tellings.push(telling(episode, episode.isTold ? 'goes-on' : 'began'));
      else if (episode.isTold) tellings.push(telling(episode, 'ended'));
      if (!goesOn) this.#episodes.delete(key);
      episode.isTold ||= goesOn;
      episode.told = episode.count;
      episode.toldAtMs = nowMs;
    }
    return tellings;
  }

  /** One alone is what any change of leader brings. */
  #hasLasted({ count, told }: Episode): boolean {
    return count - told > patientRefusalsMax;
  }
}

/** Within a period, of a reason that is not told at once: every rank may meet a leader that is late. */
const patientRefusalsMax = 16;

function telling(episode: Episode, phase: RefusalTelling['phase']): RefusalTelling {
  const { source, kind, reason, count, told } = episode;
  return { phase, source, kind, reason, count, since: count - told };
}

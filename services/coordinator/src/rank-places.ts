import type { RankOrigin, RankPlace, RankReport } from '@isobar/protocol';
import { comparePlaces, type PlaceContradiction, type Topology } from '@isobar/topology';

export interface RankPlacesOptions {
  readonly topology: Topology;
  /**
   * A contradiction is told once it has lasted for so long: ranks that move are in two places for a while.
   * Who is silent for so long may be gone, and its place another's: it contradicts nobody any more.
   */
  readonly patienceMs: number;
  readonly tell: (kind: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** Contradictions that are kept and told. */
const contradictionsMax = 32;

/**
 * Where ranks say that they run. Raises the alarm `topology-contradicted` while that is not as the
 * topology has it.
 */
export class RankPlaces {
  readonly #options: RankPlacesOptions;
  readonly #places = new Map<number, RankPlace>();
  readonly #origins = new Map<number, RankOrigin>();
  readonly #heardAtMs = new Map<number, number>();
  #contradictions: readonly PlaceContradiction[] = [];
  /** Ranks that were compared for them. */
  #numCompared = 0;
  #sinceMs: number | null = null;
  #isChanged = false;
  /** What was told last, empty where no alarm is open. */
  #told = '';

  constructor(options: RankPlacesOptions) {
    this.#options = options;
  }

  hear(
    { rank, place, origin }: Pick<RankReport, 'rank' | 'place' | 'origin'>,
    nowMs: number,
  ): void {
    if (this.#isSilent(rank, nowMs)) this.#isChanged = true;
    this.#heardAtMs.set(rank, nowMs);
    if (origin === undefined) this.#origins.delete(rank);
    else this.#origins.set(rank, origin);
    if (isSamePlace(this.#places.get(rank), place)) return;
    if (place === undefined) this.#places.delete(rank);
    else this.#places.set(rank, place);
    this.#isChanged = true;
  }

  #isSilent(rank: number, nowMs: number): boolean {
    const heardAtMs = this.#heardAtMs.get(rank);
    return heardAtMs === undefined || nowMs - heardAtMs >= this.#options.patienceMs;
  }

  /** As it was told last, of a rank that is silent now as well. */
  placeOf(rank: number): RankPlace | null {
    return this.#places.get(rank) ?? null;
  }

  originOf(rank: number): RankOrigin | null {
    return this.#origins.get(rank) ?? null;
  }

  /** The first of them, in order of levels and ranks. */
  contradictionsAt(nowMs: number): readonly PlaceContradiction[] {
    const heard = [...this.#places].filter(([rank]) => !this.#isSilent(rank, nowMs));
    if (this.#isChanged || heard.length !== this.#numCompared) {
      this.#isChanged = false;
      this.#numCompared = heard.length;
      const { topology } = this.#options;
      this.#contradictions = comparePlaces(topology, new Map(heard), contradictionsMax);
    }
    return this.#contradictions;
  }

  /** Of a leader: one alarm for all of them, again where they are others. */
  tick(nowMs: number): void {
    const { patienceMs, tell } = this.#options;
    const contradictions = this.contradictionsAt(nowMs);
    if (contradictions.length === 0) {
      this.#sinceMs = null;
      if (this.#told === '') return;
      this.#told = '';
      tell('alarm-cleared', { alarm: 'topology-contradicted' });
      return;
    }
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < patienceMs) return;
    const text = JSON.stringify(contradictions);
    if (text === this.#told) return;
    this.#told = text;
    tell('alarm', { alarm: 'topology-contradicted', contradictions });
  }
}

function isSamePlace(one: RankPlace | undefined, other: RankPlace | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

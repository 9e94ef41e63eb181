import type { LoadSample, RankReport, RefusalCount, RefusalTelling } from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import { RankClocks } from './rank-clocks.js';
import { RankPlaces } from './rank-places.js';
import { RefusalAlarm } from './refusal-alarm.js';

export interface RankSightingsOptions {
  readonly topology: Topology;
  /** Between two events while messages go on being refused. */
  readonly refusalPeriodMs: number;
  /** An event for the audit trail. */
  readonly tell: (kind: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** A rank that moves is told of at its old place for a while. */
const placePatienceMs = 30_000;

/**
 * What ranks tell of themselves beside what the machine decides by: when they were heard, their clocks,
 * where they run, and what they refuse. For people alone. Times are of this process's clock.
 */
export class RankSightings {
  readonly clocks = new RankClocks();
  readonly places: RankPlaces;
  readonly #refusalAlarm: RefusalAlarm;
  readonly #reportedAtMs = new Map<number, number>();
  readonly #sampledAtMs = new Map<number, number>();

  constructor({ topology, refusalPeriodMs, tell }: RankSightingsOptions) {
    this.places = new RankPlaces({ topology, patienceMs: placePatienceMs, tell });
    this.#refusalAlarm = new RefusalAlarm({ periodMs: refusalPeriodMs, tell });
  }

  /** @param unixMs milliseconds since 1970, by this machine */
  hearReport(report: RankReport, nowMs: number, unixMs: number): void {
    const { rank, atMs, refusals = [] } = report;
    this.#reportedAtMs.set(rank, nowMs);
    this.clocks.hear(rank, atMs, unixMs);
    this.places.hear(report, nowMs);
    this.#refusalAlarm.hear(`rank ${rank}`, refusals, nowMs);
  }

  hearSample({ rank }: LoadSample, nowMs: number): void {
    this.#sampledAtMs.set(rank, nowMs);
  }

  /**
   * Raises alarms, and ends them.
   * @param own what this process refuses itself
   */
  tick(own: readonly RefusalCount[], nowMs: number): void {
    this.places.tick(nowMs);
    this.#refusalAlarm.hear('coordinator', own, nowMs);
    this.#refusalAlarm.tick(nowMs);
  }

  /** Milliseconds since its newest report, null before its first. */
  reportAgeMs(rank: number, nowMs: number): number | null {
    return ageOf(this.#reportedAtMs.get(rank), nowMs);
  }

  /** Likewise of load samples. */
  sampleAgeMs(rank: number, nowMs: number): number | null {
    return ageOf(this.#sampledAtMs.get(rank), nowMs);
  }

  /** Refused lately, here and by ranks. */
  get refusals(): readonly RefusalTelling[] {
    return this.#refusalAlarm.open;
  }
}

function ageOf(atMs: number | undefined, nowMs: number): number | null {
  return atMs === undefined ? null : nowMs - atMs;
}

import type { ExpertMapping } from '@isobar/eplb';
import type { Random } from '@isobar/trace';
import type { Scheduler } from '../kernel/scheduler.js';
import { present } from '../present.js';
import { RuleViolation } from '../rules/rule-violation.js';
import type { ExpertMemory } from './expert-memory.js';
import { weightsOf } from './expert-memory.js';

/** A token on its way to one expert, routed by one version. */
export interface Token {
  readonly version: number;
  readonly layer: number;
  readonly expert: number;
  readonly slot: number;
  /** Station whose rank holds the slot. */
  readonly station: number;
  open: boolean;
}

export interface TokenTrafficOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** Carries a token to the station that holds its slot, and its answer back. */
  readonly dispatch: (token: Token) => boolean;
  /** Station where tokens for a rank go, under a version; null where it is masked. */
  readonly stationOf: (version: number, rank: number) => number | null;
}

/** Tokens of one engine that are on their way: sampled, a few of the many that real ones route. */
export class TokenTraffic {
  readonly #options: TokenTrafficOptions;
  #open: Token[] = [];
  served = 0;
  lost = 0;

  constructor(options: TokenTrafficOptions) {
    this.#options = options;
  }

  /** Versions that tokens under way were routed by. */
  isOpen(version: number): boolean {
    return this.#open.some((token) => token.version === version);
  }

  /** Whether every token routed by an older version has been answered or cut. */
  isDrained(below: number): boolean {
    return this.#open.every((token) => token.version >= below);
  }

  eachOpenVersion(visit: (version: number) => void): void {
    for (const token of this.#open) visit(token.version);
  }

  route(version: number, mapping: ExpertMapping): void {
    const { random, stationOf, dispatch } = this.#options;
    const layer = random.integer(mapping.numLayers);
    const expert = random.integer(mapping.numLogicalExperts);
    const slots = mapping.getPhysicalExperts(layer, expert);
    const first = random.integer(slots.length);
    for (let step = 0; step < slots.length; step += 1) {
      const slot = present(slots[(first + step) % slots.length]);
      const station = stationOf(version, mapping.rankOfSlot(slot));
      if (station === null) continue;
      const token = { version, layer, expert, slot, station, open: true };
      this.#open.push(token);
      if (!dispatch(token)) this.cut(token);
      return;
    }
    this.lost += 1;
  }

  answered(token: Token): void {
    if (!token.open) return;
    this.served += 1;
    this.#close(token);
  }

  cut(token: Token): void {
    if (!token.open) return;
    this.lost += 1;
    this.#close(token);
  }

  #close(token: Token): void {
    token.open = false;
    this.#open = this.#open.filter((open) => open !== token);
  }

  /** The engine that routed them is gone. */
  cutAll(): void {
    for (const token of this.#open) this.cut(token);
  }

  /** The connection with a station is gone: tokens on their way there, or back, are lost. */
  cutStation(station: number): void {
    for (const token of this.#open) if (token.station === station) this.cut(token);
  }
}

/** S4 and S5: a token is computed with the weights of its expert, whole, or not at all. */
export function compute(
  who: string,
  memory: ExpertMemory,
  mapping: ExpertMapping,
  token: Token,
): void {
  const { version, layer, expert, slot } = token;
  const where = `a token of version ${version} for expert ${expert} of layer ${layer}`;
  const weights = memory.serve(version, layer, slot);
  if (weights === null) throw new RuleViolation('S4', `${who} refuses ${where}`);
  if (weights === weightsOf(mapping, layer, expert)) return;
  const rule = weights < -1 ? 'S5' : 'S4';
  throw new RuleViolation(rule, `${who} computes ${where} with weights ${weights}`);
}

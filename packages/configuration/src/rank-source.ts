import { type RankTelling, rankSchema } from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import type { Environment } from './environment-values.js';

/** What a rank may follow from, beside the command line. */
export interface RankCircumstances {
  readonly environment: Environment;
  /** Ranks of a pod. */
  readonly ranksPerPod: number;
  /** Name of this machine. */
  readonly node: string;
  /** Null where it is not at hand. */
  readonly topology: Topology | null;
}

/** One who says which rank this is. */
export interface SourcedRank extends RankTelling {
  /** What it was read from, for people: `RANK=3, WORLD_SIZE=8`. */
  readonly from: string;
  /** Which of the group's machines, counted in the order of ranks; null where it does not say. */
  readonly nodeIndex: number | null;
}

/** A source that says something, but no rank. */
export interface UnreadableSource {
  readonly source: string;
  readonly variable: string;
  readonly what: string;
}

/** A way to learn one's rank. */
export interface RankSource {
  readonly name: string;
  /** Who says it so, for documents. */
  readonly of: string;
  /** What it is read from. */
  readonly variables: readonly string[];
  /** Said to this very process: it holds against all that follow. */
  readonly isExplicit: boolean;
  /** Null where it says nothing. */
  readonly read: (circumstances: RankCircumstances) => SourcedRank | UnreadableSource | null;
}

const numberMax = 65_536;

/** The rank that a text is, null where it is none. */
export function readRank(text: string): number | null {
  const rank = rankSchema.safeParse(/^\d{1,5}$/.test(text) ? Number(text) : text);
  return rank.success ? rank.data : null;
}

/** A variable's text; an empty one is none: launchers and the downward API leave such. */
export function textOfVariable(environment: Environment, variable: string): string | null {
  const text = environment[variable];
  return text === undefined || text === '' ? null : text;
}

/** Those of the variables that are set, as numbers by their names; or the first that is none. */
export function readNumbers(
  source: string,
  environment: Environment,
  variables: readonly string[],
): Map<string, number> | UnreadableSource {
  const numbers = new Map<string, number>();
  for (const variable of variables) {
    const text = textOfVariable(environment, variable);
    if (text === null) continue;
    if (!/^\d{1,5}$/.test(text) || Number(text) > numberMax) {
      const what = `is ${JSON.stringify(text.slice(0, 40))}, not a number up to ${numberMax}`;
      return { source, variable, what };
    }
    numbers.set(variable, Number(text));
  }
  return numbers;
}

/** `RANK=3, WORLD_SIZE=8` */
export function told(numbers: ReadonlyMap<string, number>): string {
  return [...numbers].map(([variable, number]) => `${variable}=${number}`).join(', ');
}

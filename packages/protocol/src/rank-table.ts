/** What is known of ranks, in the order in which they came. A Map of ranks is one. */
export interface RankTable<T> extends Iterable<readonly [number, T]> {
  readonly size: number;
  get(rank: number): T | undefined;
  values(): Iterable<T>;
}

/**
 * The table with another value for a rank; the one before stays as it was. Of many ranks each is heard every
 * second: to copy an array takes a small part of what a copied Map does.
 */
export function withRank<T>(table: RankTable<T>, rank: number, value: T): RankTable<T> {
  return (table instanceof PackedTable ? table : PackedTable.of(table)).with(rank, value);
}

class PackedTable<T> implements RankTable<T> {
  readonly #ranks: readonly number[];
  /** By rank. */
  readonly #values: readonly (T | undefined)[];

  private constructor(ranks: readonly number[], values: readonly (T | undefined)[]) {
    this.#ranks = ranks;
    this.#values = values;
  }

  static of<T>(table: RankTable<T>): PackedTable<T> {
    const ranks: number[] = [];
    const values: (T | undefined)[] = [];
    for (const [rank, value] of table) {
      ranks.push(rank);
      values[rank] = value;
    }
    return new PackedTable(ranks, values);
  }

  get size(): number {
    return this.#ranks.length;
  }

  get(rank: number): T | undefined {
    return this.#values[rank];
  }

  with(rank: number, value: T): PackedTable<T> {
    const values = this.#values.slice();
    values[rank] = value;
    const isKnown = this.#values[rank] !== undefined;
    return new PackedTable(isKnown ? this.#ranks : [...this.#ranks, rank], values);
  }

  *values(): Generator<T> {
    for (const [, value] of this) yield value;
  }

  *[Symbol.iterator](): Generator<readonly [number, T]> {
    for (const rank of this.#ranks) {
      const value = this.#values[rank];
      if (value !== undefined) yield [rank, value];
    }
  }
}

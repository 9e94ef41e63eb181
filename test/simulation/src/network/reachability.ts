/** Which way of a pair of groups a partition cuts. */
export type CutDirection = 'both' | 'forth' | 'back';

/** Which hosts packets get from and to. Partitions overlap: a pair is cut while any of them stands. */
export class Reachability {
  readonly #numHosts: number;
  /** Partitions that cut each ordered pair, [hosts × hosts]. */
  readonly #cuts: Uint8Array;
  /** Partitions that stand. */
  active = 0;

  constructor(numHosts: number) {
    this.#numHosts = numHosts;
    this.#cuts = new Uint8Array(numHosts * numHosts);
  }

  passes(from: number, to: number): boolean {
    return this.active === 0 || this.#cuts[from * this.#numHosts + to] === 0;
  }

  passesBothWays(one: number, other: number): boolean {
    return this.passes(one, other) && this.passes(other, one);
  }

  /** Cuts every pair between two groups. @returns mends it, once */
  cut(left: readonly number[], right: readonly number[], direction: CutDirection): () => void {
    const pairs: number[] = [];
    for (const one of left) {
      for (const other of right) {
        if (one === other) continue;
        if (direction !== 'back') pairs.push(one * this.#numHosts + other);
        if (direction !== 'forth') pairs.push(other * this.#numHosts + one);
      }
    }
    this.#change(pairs, 1);
    let mended = false;
    return () => {
      if (!mended) this.#change(pairs, -1);
      mended = true;
    };
  }

  #change(pairs: readonly number[], by: number): void {
    this.active += by;
    for (const pair of pairs) this.#cuts[pair] = (this.#cuts[pair] ?? 0) + by;
  }
}

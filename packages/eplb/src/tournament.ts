/**
 * Knows the least of a changing set of keys: a binary tree of matches, so that a change costs the
 * logarithm of their number.
 */
export class Tournament {
  /** Node n is the least of nodes 2n and 2n + 1; keys are the leaves. */
  readonly #nodes: Float64Array;
  readonly #numLeaves: number;

  constructor(numKeys: number) {
    this.#numLeaves = 2 ** Math.ceil(Math.log2(numKeys));
    this.#nodes = new Float64Array(2 * this.#numLeaves).fill(Number.POSITIVE_INFINITY);
  }

  /** @param keys in the place of all keys before, [keys] */
  start(keys: Float64Array): void {
    const nodes = this.#nodes;
    nodes.set(keys, this.#numLeaves);
    for (let node = this.#numLeaves - 1; node > 0; node -= 1) {
      nodes[node] = Math.min(nodes[2 * node], nodes[2 * node + 1]);
    }
  }

  least(): number {
    return this.#nodes[1];
  }

  replace(index: number, key: number): void {
    const nodes = this.#nodes;
    let node = this.#numLeaves + index;
    nodes[node] = key;
    for (node >>= 1; node > 0; node >>= 1) {
      nodes[node] = Math.min(nodes[2 * node], nodes[2 * node + 1]);
    }
  }
}

import { largestKey } from './weight-key.js';

/**
 * Knows which of a changing set of keys is least, among equals the first: a binary tree of
 * matches, so that a change costs the logarithm of their number. Matches are decided by the sign of
 * a difference and not by a branch, since nobody can predict who wins.
 */
export class Tournament {
  readonly #numLeaves: number;
  /** Node n has the least of nodes 2n and 2n + 1, [2 × leaves]; the leaves are last. */
  readonly #keys: Int32Array;
  /** Index of that least key, [2 × leaves]. */
  readonly #winners: Int32Array;

  constructor(numKeys: number) {
    this.#numLeaves = 2 ** Math.ceil(Math.log2(numKeys));
    this.#keys = new Int32Array(2 * this.#numLeaves).fill(largestKey);
    this.#winners = Int32Array.from(this.#keys, (_, node) => node - this.#numLeaves);
  }

  /** Index of the least key. */
  get winner(): number {
    return this.#winners[1];
  }

  /** @param newKeys in the place of all keys before, each of 0 to 2^31 − 1, [keys] */
  start(newKeys: Int32Array): void {
    const keys = this.#keys;
    const winners = this.#winners;
    keys.set(newKeys, this.#numLeaves);
    for (let node = this.#numLeaves - 1; node > 0; node -= 1) {
      const left = 2 * node;
      const child = left - ((keys[left + 1] - keys[left]) >> 31);
      keys[node] = keys[child];
      winners[node] = winners[child];
    }
  }

  /** @param newKey of 0 to 2^31 − 1 */
  replace(index: number, newKey: number): void {
    const keys = this.#keys;
    const winners = this.#winners;
    let node = this.#numLeaves + index;
    let key = newKey;
    let winner = index;
    keys[node] = key;
    for (; node > 1; node >>= 1) {
      const sibling = node ^ 1;
      // All ones where the sibling wins, which a left one does of equals, else 0.
      const siblingWins = (keys[sibling] - key - (node & 1)) >> 31;
      key ^= (key ^ keys[sibling]) & siblingWins;
      winner ^= (winner ^ winners[sibling]) & siblingWins;
      keys[node >> 1] = key;
      winners[node >> 1] = winner;
    }
  }
}

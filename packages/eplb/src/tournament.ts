import { largestKey } from './weight-key.js';

/**
 * Knows which of a changing set of keys is least, among equals the first: a binary tree of
 * matches, so that a change costs the logarithm of their number. Matches are decided by the sign of
 * a difference and not by a branch, since nobody can predict who wins.
 */
export class Tournament {
  readonly #numLeaves: number;
  /** [leaves]; leaves beyond the keys never win. */
  readonly #keys: Int32Array;
  /** Leaf of the least key of nodes 2n and 2n + 1 at node n; leaves are last, [2 × leaves]. */
  readonly #winners: Int32Array;

  constructor(numKeys: number) {
    this.#numLeaves = 2 ** Math.ceil(Math.log2(numKeys));
    this.#keys = new Int32Array(this.#numLeaves).fill(largestKey);
    this.#winners = new Int32Array(2 * this.#numLeaves);
    for (let leaf = 0; leaf < this.#numLeaves; leaf += 1) {
      this.#winners[this.#numLeaves + leaf] = leaf;
    }
  }

  /** Index of the least key. */
  get winner(): number {
    return this.#winners[1];
  }

  /** @param newKeys in the place of all keys before, each of 0 to 2^31 − 1, [keys] */
  start(newKeys: Int32Array): void {
    const keys = this.#keys;
    const winners = this.#winners;
    keys.set(newKeys);
    for (let node = this.#numLeaves - 1; node > 0; node -= 1) {
      const left = winners[2 * node];
      const right = winners[2 * node + 1];
      winners[node] = left ^ ((left ^ right) & ((keys[right] - keys[left]) >> 31));
    }
  }

  /** @param newKey of 0 to 2^31 − 1 */
  replace(index: number, newKey: number): void {
    const keys = this.#keys;
    const winners = this.#winners;
    keys[index] = newKey;
    let key = newKey;
    let winner = index;
    for (let node = this.#numLeaves + index; node > 1; node >>= 1) {
      const sibling = winners[node ^ 1];
      const siblingKey = keys[sibling];
      // All ones where the sibling wins, which a left one does of equals, else 0.
      const siblingWins = (siblingKey - key - (node & 1)) >> 31;
      key ^= (key ^ siblingKey) & siblingWins;
      winner ^= (winner ^ sibling) & siblingWins;
      winners[node >> 1] = winner;
    }
  }
}

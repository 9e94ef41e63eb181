/** Which routes of a layer ask for which expert, as bits: one row of words for each expert. */
export interface RouteBits {
  /** [(experts + 1) × words]; the last row is empty and stands for no expert. */
  readonly bits: Int32Array;
  readonly words: number;
  /** First word of each source domain, and after the last the number of words, [domains + 1]. */
  readonly wordOffsets: Int32Array;
  /** Routes of each source domain, [domains]. */
  readonly numRoutes: Int32Array;
}

/** Room for routes of these domains, with no bit set. */
export function emptyRouteBits(numRoutes: Int32Array, numExperts: number): RouteBits {
  const wordOffsets = new Int32Array(numRoutes.length + 1);
  numRoutes.forEach((routes, domain) => {
    wordOffsets[domain + 1] = (wordOffsets[domain] ?? 0) + Math.ceil(routes / 32);
  });
  const words = wordOffsets[numRoutes.length] ?? 0;
  return { bits: new Int32Array((numExperts + 1) * words), words, wordOffsets, numRoutes };
}

export function setRoute(to: RouteBits, domain: number, route: number, expert: number): void {
  const at = expert * to.words + (to.wordOffsets[domain] ?? 0) + (route >> 5);
  to.bits[at] = (to.bits[at] ?? 0) | (1 << (route & 31));
}

/**
 * Which routes visit which domain, given the domain that serves each expert for each source
 * domain; and how many visits a change would add. A visit to the source's own domain is none.
 */
export class DomainCoverage {
  readonly #routes: RouteBits;
  readonly #numDomains: number;
  /** Routes that visit a domain for some expert, and for two or more, [domains × words]. */
  readonly #once: Int32Array;
  readonly #twice: Int32Array;
  /** After the last word of each source domain that is looked at, [domains]. */
  readonly #lastWords: Int32Array;

  constructor(routes: RouteBits, numDomains: number) {
    this.#routes = routes;
    this.#numDomains = numDomains;
    this.#once = new Int32Array(numDomains * routes.words);
    this.#twice = new Int32Array(numDomains * routes.words);
    this.#lastWords = new Int32Array(numDomains);
    this.usePart(1);
  }

  /** Looks at a part of the routes only, 0 to 1, where a rough answer will do; then cover anew. */
  usePart(part: number): void {
    const { wordOffsets } = this.#routes;
    for (let source = 0; source < this.#numDomains; source += 1) {
      const first = wordOffsets[source] ?? 0;
      const words = (wordOffsets[source + 1] ?? 0) - first;
      this.#lastWords[source] = first + Math.ceil(words * part);
    }
  }

  /** Routes looked at. */
  get numRoutes(): number {
    let total = 0;
    for (let source = 0; source < this.#numDomains; source += 1) {
      const words = (this.#lastWords[source] ?? 0) - (this.#routes.wordOffsets[source] ?? 0);
      total += Math.min(words * 32, this.#routes.numRoutes[source] ?? 0);
    }
    return total;
  }

  /**
   * Takes up which experts a domain serves for a source domain.
   * @param targets domain that serves each expert, [domains × (experts + 1)] by source domain
   */
  cover(source: number, domain: number, targets: Int32Array, numExperts: number): void {
    if (source === domain) return;
    const { bits, words, wordOffsets } = this.#routes;
    const first = wordOffsets[source] ?? 0;
    const last = this.#lastWords[source] ?? 0;
    const base = domain * words;
    this.#once.fill(0, base + first, base + last);
    this.#twice.fill(0, base + first, base + last);
    for (let expert = 0; expert < numExperts; expert += 1) {
      if (targets[source * (numExperts + 1) + expert] !== domain) continue;
      const row = expert * words;
      for (let word = first; word < last; word += 1) {
        const asked = bits[row + word] ?? 0;
        const once = this.#once[base + word] ?? 0;
        this.#twice[base + word] = (this.#twice[base + word] ?? 0) | (once & asked);
        this.#once[base + word] = once | asked;
      }
    }
  }

  /** Visits of one source domain's routes to another domain. */
  visits(source: number, domain: number): number {
    if (source === domain) return 0;
    const base = domain * this.#routes.words;
    const last = this.#lastWords[source] ?? 0;
    let sum = 0;
    for (let word = this.#routes.wordOffsets[source] ?? 0; word < last; word += 1) {
      sum += bitCount(this.#once[base + word] ?? 0);
    }
    return sum;
  }

  /**
   * Visits more, or less than 0, if a domain no longer served one expert for a source domain and
   * served up to two others; the number of experts stands for none.
   */
  change(source: number, domain: number, removed: number, added: number, alsoAdded: number) {
    if (source === domain) return 0;
    const { bits, words, wordOffsets } = this.#routes;
    const once = this.#once;
    const twice = this.#twice;
    const base = domain * words;
    const removedRow = removed * words;
    const addedRow = added * words;
    const alsoRow = alsoAdded * words;
    const last = this.#lastWords[source] ?? 0;
    let sum = 0;
    for (let word = wordOffsets[source] ?? 0; word < last; word += 1) {
      const before = once[base + word] ?? 0;
      const kept = (twice[base + word] ?? 0) | (before & ~(bits[removedRow + word] ?? 0));
      const after = kept | (bits[addedRow + word] ?? 0) | (bits[alsoRow + word] ?? 0);
      if (after !== before) sum += bitCount(after & ~before) - bitCount(before & ~after);
    }
    return sum;
  }

  /** Routes of a source domain that ask for an expert. */
  asking(source: number, expert: number): number {
    const last = this.#lastWords[source] ?? 0;
    let sum = 0;
    for (let word = this.#routes.wordOffsets[source] ?? 0; word < last; word += 1) {
      sum += bitCount(this.#routes.bits[expert * this.#routes.words + word] ?? 0);
    }
    return sum;
  }
}

/** Bits set in a 32-bit word, counted in parallel (Hacker's Delight, chapter 5). */
function bitCount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  const bytes = (fours + (fours >>> 4)) & 0x0f0f0f0f;
  return Math.imul(bytes, 0x01010101) >>> 24;
}

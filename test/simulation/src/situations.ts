/** How often each interesting situation came up. */
export class Situations {
  readonly counts = new Map<string, number>();

  count(situation: string): void {
    this.counts.set(situation, (this.counts.get(situation) ?? 0) + 1);
  }

  add(other: ReadonlyMap<string, number>): void {
    for (const [situation, count] of other) {
      this.counts.set(situation, (this.counts.get(situation) ?? 0) + count);
    }
  }
}

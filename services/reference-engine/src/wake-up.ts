/** Lets one task wait until another has changed something. */
export class WakeUp {
  #sleepers: (() => void)[] = [];

  /** Wakes all that sleep now. */
  raise(): void {
    const sleepers = this.#sleepers;
    this.#sleepers = [];
    for (const wake of sleepers) wake();
  }

  /** Resolves at the next `raise`, or after `timeoutMs`. */
  async next(timeoutMs?: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#sleepers.push(resolve);
      if (timeoutMs !== undefined) timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
  }
}

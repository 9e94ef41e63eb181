import type { CoordinatorState } from '@isobar/protocol';
import { RuleViolation } from './rule-violation.js';

/** A command's request is made of leaders once, under however many of them it is sent. */
export class CommandRules {
  /** By request id, the fence under which it was made. */
  readonly #madeUnder = new Map<string, string>();

  stepped(who: string, before: CoordinatorState, after: CoordinatorState): void {
    const { role, taken } = after;
    if (taken === before.taken || role.kind !== 'leading') return;
    const fence = `${role.fence.term} ${role.fence.nonce}`;
    for (const [token, { id }] of taken) {
      if (before.taken.has(token)) continue;
      const made = this.#madeUnder.get(id);
      if (made !== undefined && made !== fence) {
        throw new RuleViolation(
          'once',
          `${who} makes the request of ${id} again, made under ${made}`,
        );
      }
      this.#madeUnder.set(id, fence);
    }
  }

  /** The store has lost the record that tells of them: nobody can know them any more. */
  forget(): void {
    this.#madeUnder.clear();
  }
}

import type { CoordinatorState, RankReport } from '@isobar/protocol';
import { RuleViolation } from './rule-violation.js';

interface HeardOffer {
  readonly incarnation: string;
  /** Undefined: all slots. */
  readonly slots: number | undefined;
}

/**
 * No version is begun that brings an expert into a slot which its rank's engine, by the newest word that
 * the leader has heard, does not offer. What is in such a slot may stay until it is moved away.
 */
export class OfferRules {
  /** By coordinator and rank. */
  readonly #heard = new Map<string, Map<number, HeardOffer>>();

  heard(
    coordinator: string,
    rank: number,
    engine: Pick<NonNullable<RankReport['engine']>, 'incarnation' | 'offeredSlots'> | null,
  ): void {
    const offers = this.#heard.get(coordinator) ?? new Map<number, HeardOffer>();
    this.#heard.set(coordinator, offers);
    if (engine === null) offers.delete(rank);
    else offers.set(rank, { incarnation: engine.incarnation, slots: engine.offeredSlots });
  }

  /** Its process is new, and has heard nothing. */
  forget(coordinator: string): void {
    this.#heard.delete(coordinator);
  }

  stepped(coordinator: string, before: CoordinatorState, after: CoordinatorState): void {
    if (after.role.kind !== 'leading') return;
    const { swap, mapping } = after.role.leader;
    const { open } = swap;
    const openBefore = before.role.kind === 'leading' ? before.role.leader.swap.open : null;
    if (open === null || open.mapping === null || open.phase !== 'preparing') return;
    if (open.proposal.version === openBefore?.proposal.version) return;
    // What engines hold at their start is written down as it is.
    if (open.proposal.change === 'start') return;
    const { physicalToLogical } = open.mapping;
    for (const { rank, incarnation } of open.proposal.members) {
      const offer = this.#heard.get(coordinator)?.get(rank);
      if (offer?.incarnation !== incarnation || offer.slots === undefined) continue;
      const first = (mapping.slotOffsets[rank] ?? 0) + offer.slots;
      for (let index = 0; index < physicalToLogical.length; index += 1) {
        const slot = index % mapping.numPhysicalExperts;
        if (slot < first || slot >= (mapping.slotOffsets[rank + 1] ?? 0)) continue;
        const expert = physicalToLogical[index] ?? -1;
        if (expert < 0 || expert === mapping.physicalToLogical[index]) continue;
        throw new RuleViolation(
          'offer',
          `${coordinator} begins version ${open.proposal.version}, which fills slot ${slot}: rank ${rank} offers ${offer.slots} slots`,
        );
      }
    }
  }
}

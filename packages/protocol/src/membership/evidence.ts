import type { Member } from '../member.js';

/** What is known of who is dead, and of who has lost whom. */
export interface Evidence {
  /** ControlRecord.dead */
  readonly declared: readonly Member[];
}

export function initialEvidence(declared: readonly Member[]): Evidence {
  return { declared };
}

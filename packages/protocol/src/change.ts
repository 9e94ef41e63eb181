import { z } from 'zod';

/**
 * Why a version was proposed. `start`: what a new group's engines hold. `evacuation`: experts that
 * died with a rank, and the removal of the dead. `membership`: ranks join or leave.
 */
export const changeSchema = z.enum([
  'start',
  'evacuation',
  'membership',
  'rollback',
  'drain',
  'rebalance',
]);

export type Change = z.infer<typeof changeSchema>;

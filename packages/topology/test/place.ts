import type { Place } from '@isobar/topology';

/** Of a process on a machine that tells nothing else, but for these. */
export const place = (node: string, changes: Partial<Place> = {}): Place => ({
  node,
  localRank: null,
  domains: {},
  gpu: null,
  ...changes,
});

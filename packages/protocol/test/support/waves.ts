import type { ExpertMapping } from '@isobar/eplb';
import { type Change, encodeTransfers, type Wave, wholeMapping } from '@isobar/protocol';

export function waveTo(from: ExpertMapping, to: ExpertMapping, change: Change = 'rebalance'): Wave {
  const { layers, rows } = from.delta(to);
  return {
    change,
    reason: 'as a test wants it',
    mapping: wholeMapping(to),
    digest: to.digest(),
    layers,
    rows,
    transfers: encodeTransfers([]),
  };
}

/** The mapping with what two slots of its first layer hold exchanged. */
export function exchanged(mapping: ExpertMapping, left: number, right: number): ExpertMapping {
  const rows = mapping.row(0).slice();
  const held = rows[left] ?? -1;
  rows[left] = rows[right] ?? -1;
  rows[right] = held;
  return mapping.apply({ layers: Int32Array.of(0), rows });
}

/** Waves on top of one another, each an exchange of two slots. */
export function exchanges(
  mapping: ExpertMapping,
  pairs: readonly (readonly [number, number])[],
  change: Change = 'rebalance',
): Wave[] {
  let before = mapping;
  return pairs.map(([left, right]) => {
    const after = exchanged(before, left, right);
    const wave = waveTo(before, after, change);
    before = after;
    return wave;
  });
}

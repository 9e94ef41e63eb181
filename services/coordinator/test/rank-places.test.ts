import { RankPlaces } from '@isobar/coordinator';
import type { RankPlace } from '@isobar/protocol';
import { uniformTopology } from '@isobar/topology';
import { describe, expect, it } from 'vitest';

const place = (node: string): RankPlace => ({ node, localRank: null, domains: {}, gpu: null });

function world() {
  const events: Record<string, unknown>[] = [];
  const places = new RankPlaces({
    topology: uniformTopology({ numRanks: 4, numNodes: 2 }),
    patienceMs: 30_000,
    tell: (kind, fields) => events.push({ kind, ...fields }),
  });
  const runOn = (...nodes: readonly (string | undefined)[]) => {
    for (const [rank, node] of nodes.entries()) {
      places.hear(node === undefined ? { rank } : { rank, place: place(node) });
    }
  };
  return { events, places, runOn };
}

describe('places of ranks', () => {
  it('that stay at odds with the topology raise one alarm, which ends with them', () => {
    const { events, places, runOn } = world();
    runOn('a', 'a', 'b', 'a');
    places.tick(0);
    places.tick(29_999);
    expect(events).toEqual([]);
    places.tick(30_000);
    places.tick(31_000);
    expect(events).toMatchObject([
      {
        kind: 'alarm',
        alarm: 'topology-contradicted',
        contradictions: [{ level: 'node', ranks: [2, 3] }],
      },
    ]);
    runOn('a', 'c', 'b', 'a');
    places.tick(32_000);
    expect(events[1]).toMatchObject({ contradictions: [{ ranks: [0, 1] }, { ranks: [2, 3] }] });
    runOn('a', 'a', 'b', 'b');
    places.tick(33_000);
    places.tick(34_000);
    expect(events.slice(2)).toEqual([{ kind: 'alarm-cleared', alarm: 'topology-contradicted' }]);
  });

  it('are told of no more by an agent of before', () => {
    const { events, places, runOn } = world();
    runOn('a', 'b', undefined, undefined);
    expect(places.contradictions).toHaveLength(1);
    expect(places.placeOf(1)).toEqual(place('b'));
    runOn('a', undefined);
    places.tick(40_000);
    expect(places.contradictions).toEqual([]);
    expect(places.placeOf(1)).toBeNull();
    expect(events).toEqual([]);
  });

  it('that move meanwhile raise none', () => {
    const { events, places, runOn } = world();
    runOn('a', 'b', 'c', 'c');
    places.tick(0);
    runOn('b', 'b', 'c', 'c');
    places.tick(20_000);
    runOn('b', 'd', 'c', 'c');
    places.tick(40_000);
    expect(events).toEqual([]);
  });
});

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
  const runOn = (nowMs: number, ...nodes: readonly (string | undefined)[]) => {
    for (const [rank, node] of nodes.entries()) {
      places.hear(node === undefined ? { rank } : { rank, place: place(node) }, nowMs);
    }
  };
  return { events, places, runOn };
}

describe('places of ranks', () => {
  it('that stay at odds with the topology raise one alarm, which ends with them', () => {
    const { events, places, runOn } = world();
    runOn(0, 'a', 'a', 'b', 'a');
    places.tick(0);
    runOn(29_999, 'a', 'a', 'b', 'a');
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
    runOn(32_000, 'a', 'c', 'b', 'a');
    places.tick(32_000);
    expect(events[1]).toMatchObject({ contradictions: [{ ranks: [0, 1] }, { ranks: [2, 3] }] });
    runOn(33_000, 'a', 'a', 'b', 'b');
    places.tick(33_000);
    places.tick(34_000);
    expect(events.slice(2)).toEqual([{ kind: 'alarm-cleared', alarm: 'topology-contradicted' }]);
  });

  it('are told of no more by an agent of before', () => {
    const { events, places, runOn } = world();
    runOn(0, 'a', 'b', undefined, undefined);
    expect(places.contradictionsAt(0)).toHaveLength(1);
    expect(places.placeOf(1)).toEqual(place('b'));
    runOn(1_000, 'a', undefined);
    places.tick(40_000);
    expect(places.contradictionsAt(1_000)).toEqual([]);
    expect(places.placeOf(1)).toBeNull();
    expect(events).toEqual([]);
  });

  it('that move meanwhile raise none', () => {
    const { events, places, runOn } = world();
    runOn(0, 'a', 'b', 'c', 'c');
    places.tick(0);
    runOn(20_000, 'b', 'b', 'c', 'c');
    places.tick(20_000);
    runOn(40_000, 'b', 'd', 'c', 'c');
    places.tick(40_000);
    expect(events).toEqual([]);
  });

  it('of ranks that are gone raise none when others take their machine', () => {
    const { events, places, runOn } = world();
    runOn(0, 'a', 'a', 'b', 'b');
    for (let nowMs = 1_000; nowMs <= 120_000; nowMs += 1_000) {
      runOn(nowMs, 'b', 'b');
      places.tick(nowMs);
    }
    expect(events).toEqual([]);
    expect(places.placeOf(2)).toEqual(place('b'));
    runOn(121_000, 'b', 'b', 'b', 'b');
    expect(places.contradictionsAt(121_000)).toHaveLength(2);
  });

  it('of one that is heard again count again, also while another falls silent', () => {
    const { places, runOn } = world();
    runOn(0, 'a', 'b');
    expect(places.contradictionsAt(0)).toHaveLength(1);
    places.hear({ rank: 0, place: place('a') }, 31_000);
    expect(places.contradictionsAt(31_000)).toEqual([]);
    places.hear({ rank: 1, place: place('b') }, 62_000);
    places.hear({ rank: 2, place: place('b') }, 62_000);
    expect(places.contradictionsAt(62_000)).toMatchObject([{ ranks: [1, 2] }]);
  });
});

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPolicy } from '@isobar/eplb';
import { uniformTopology } from '@isobar/topology';
import { generateTrace, readTrace, type Trace, writeTrace } from '@isobar/trace';
import { describe, expect, it } from 'vitest';
import { replay } from '../src/replay/replay-command.js';
import { type ReplayOptions, replayTrace, summarize } from '../src/replay/replay-trace.js';

const whole = generateTrace({ numLayers: 2, numExperts: 16, numSteps: 24, seed: 3 });

/** The same trace, ended early. */
function prefix(trace: Trace, numSteps: number): Trace {
  return {
    header: trace.header,
    numSteps,
    numTokens: (step) => trace.numTokens(step),
    tokens: (step) => trace.tokens(step),
    sequences: (step) => trace.sequences(step),
    loads: (step) => trace.loads(step),
  };
}

function play(policy: string, trace = whole, changes: Partial<ReplayOptions> = {}) {
  const topology = uniformTopology({ numRanks: 4, numNodes: 2 }).toClusterShape(1);
  const sizes = { ranks: 4, nodes: 2, slots: 20, windowSteps: 4 };
  return [...replayTrace({ trace, policy: createPolicy(policy), topology, ...sizes, ...changes })];
}

describe('a replay', () => {
  it('starts with contiguous experts, then redundant slots in cyclic order', () => {
    const row = play('default')[0]?.mapping.row(0);
    expect([...(row ?? [])]).toEqual([...Array(16).keys(), 0, 1, 2, 3]);
  });

  it.each(['default', 'locality-aware'])(
    '%s: a window is decided from the windows before it alone',
    (policy) => {
      const all = play(policy);
      const part = play(policy, prefix(whole, 14));
      expect(all).toHaveLength(6);
      expect(part).toHaveLength(3);
      part.forEach(({ mapping }, window) => {
        expect(all[window]?.mapping.equals(mapping)).toBe(true);
      });
    },
  );

  it('sums up the windows that were planned, the first left out', () => {
    const windows = play('locality-aware');
    const planned = windows.slice(1);
    const summary = summarize('locality-aware', windows);
    const mean = planned.reduce((sum, { balancedness }) => sum + balancedness, 0) / planned.length;
    expect(summary).toMatchObject({ windows: 6, balancedness: mean });
    expect(summary.balancedness).toBeGreaterThan(windows[0]?.balancedness ?? 1);
    expect(summary.movesPerRebalance).toBeGreaterThan(0);
  });

  it('refuses a trace of under two windows', () => {
    expect(() => play('default', prefix(whole, 7))).toThrow(
      expect.objectContaining({ code: 'ISOBAR_CLI_REPLAY_TOO_SHORT' }),
    );
  });
});

describe('a replay of tokens', () => {
  it('dispatches each expert of every source rank to its replicas, in whole', () => {
    const windows = play('locality-aware');
    const weighted = windows.map(({ mapping, dispatch }) => {
      const { shares, numPhysicalExperts } = dispatch ?? { shares: [], numPhysicalExperts: 0 };
      for (let row = 0; row < mapping.numLayers * mapping.numRanks; row += 1) {
        const layer = Math.floor(row / mapping.numRanks);
        for (let expert = 0; expert < mapping.numLogicalExperts; expert += 1) {
          const sum = mapping
            .getPhysicalExperts(layer, expert)
            .reduce((all, slot) => all + (shares[row * numPhysicalExperts + slot] ?? 0), 0);
          expect(sum).toBeCloseTo(1, 5);
        }
      }
      return [...shares].some((share) => ![0, 0.5, 1].includes(share));
    });
    expect(weighted[0]).toBe(false);
    expect(weighted).toContain(true);
  });

  it('writes a line a window, with its dispatch and how it was forecast', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'isobar-replay-'));
    try {
      const trace = join(folder, 'trace.jsonl');
      const maps = join(folder, 'maps.jsonl');
      await writeTrace(trace, whole);
      const sizes = { ranks: 4, nodes: 2, slots: 20, window: 4 };
      await replay({ trace, policy: 'locality-aware', maps, ...sizes });
      const lines = (await readFile(maps, 'utf8')).trimEnd().split('\n');
      const [first, second, ...more] = lines.map((line) => JSON.parse(line));
      expect(more).toHaveLength(4);
      expect(first).toMatchObject({ window: 0, forecast: null });
      expect(second).toMatchObject({
        window: 1,
        forecast: { layers: 2, relativeError: expect.any(Number), methods: expect.any(Object) },
      });
      expect(second.physical_to_logical_map).toHaveLength(2);
      const sharesOf = second.dispatch[1][3];
      const row: number[] = second.physical_to_logical_map[1];
      const sums = row.reduce<Record<number, number>>((all, expert, slot) => {
        all[expert] = (all[expert] ?? 0) + sharesOf[slot];
        return all;
      }, {});
      expect(Object.values(sums)).toEqual(Array(16).fill(expect.closeTo(1, 5)));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const folder =
  process.env.ISOBAR_DATA ?? fileURLToPath(new URL('../../../../shared/data', import.meta.url));
const isPresent = existsSync(join(folder, 'dsv2lite-loads.jsonl.gz'));

describe.skipIf(!isPresent)(
  `a replay of captured loads (skipped where ${folder} is absent)`,
  () => {
    it.each([
      { ranks: 16, slots: 80, least: 0.85, most: 105 },
      { ranks: 8, slots: 72, least: 0.907, most: 65 },
    ])(
      '$slots slots on $ranks ranks: balancedness of at least $least with $most moves at most',
      async ({ ranks, slots, least, most }) => {
        const trace = await readTrace(join(folder, 'dsv2lite-loads.jsonl.gz'));
        const topology = uniformTopology({ numRanks: ranks, numNodes: 4 }).toClusterShape(1);
        const sizes = { ranks, nodes: 4, slots, windowSteps: 8 };
        const windows = play('locality-aware', trace, { ...sizes, topology });
        const { balancedness, movesPerRebalance } = summarize('locality-aware', windows);
        expect(balancedness).toBeGreaterThanOrEqual(least);
        expect(movesPerRebalance).toBeLessThanOrEqual(most);
      },
      120_000,
    );
  },
);

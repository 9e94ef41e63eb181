import { createPolicy } from '@isobar/eplb';
import { uniformTopology } from '@isobar/topology';
import { generateTrace, type Trace } from '@isobar/trace';
import { describe, expect, it } from 'vitest';
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

import type { EconomySummary, PlanSummary, StatusAnswer } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { renderPlan, renderStatus } from '../src/commands/render-status.js';

const economy: EconomySummary = {
  layersByBasis: { layer: 3, 'all-layers': 1, step: 0, configured: 0, held: 0 },
  perTokenSeconds: 1.234e-5,
  interference: { share: 0.042, basis: 'measured', transferring: 6, quiet: 40 },
  reason: null,
};

function plan(of: EconomySummary, reason: string): PlanSummary {
  return {
    id: 'abcd',
    baseVersion: 3,
    policy: 'locality-aware',
    planMs: 4,
    balancedness: { before: 0.7, after: 0.9 },
    moves: 0,
    bytes: 0,
    waves: 0,
    benefitSeconds: 0,
    costSeconds: 0,
    pays: false,
    forecast: {
      relativeError: 0.0734,
      methods: { mean: 0.25, 'last-window': 0.7496, seasonal: 0.0004 },
      layers: 4,
      shiftedLayers: 4,
      periodicLayers: 1,
    },
    economy: of,
    reason,
  };
}

describe('a plan for a person', () => {
  it('says what the time per token rests on, and whether interference was measured', () => {
    const text = renderPlan(plan(economy, 'no change would pay for its moves'));
    expect(text).toContain(
      'per token     12.3 µs a layer; 3 layers fitted by layer, 1 layers with the slope of all layers',
    );
    expect(text).toContain(
      'interference  4.2 % slower while weights travel, measured (6 passes with weights travelling, 40 without)',
    );
    expect(text).toContain('no change would pay for its moves');
  });

  it('says how well loads were forecast, and by what', () => {
    const text = renderPlan(plan(economy, 'its gain pays for its moves'));
    expect(text).toContain(
      'forecast      7.3 % off so far (last-window 75 %, mean 25 %); a shift in 4 and a period in 1 of 4 layers',
    );
  });

  it('says why nothing is moved where the time per token can not be told from noise', () => {
    const held: EconomySummary = {
      ...economy,
      layersByBasis: { layer: 0, 'all-layers': 0, step: 0, configured: 0, held: 4 },
      perTokenSeconds: null,
      reason: '3 observations of tokens that differ too little',
    };
    const text = renderPlan(plan(held, 'nothing is moved'));
    expect(text).toContain("per token     not known; 4 layers held: can't be told from noise");
    expect(text).toContain('3 observations of tokens that differ too little');
    expect(text).toContain('nothing is moved');
  });
});

describe('the status for a person', () => {
  const status: StatusAnswer = {
    deployment: 'demo',
    leader: { holder: 'coordinator', term: 1, leaseMs: 15_000, renewedAgoMs: 1_234 },
    mode: 'observe',
    paused: false,
    held: null,
    heldBack: null,
    backOff: null,
    drained: [],
    dead: [],
    suspected: [],
    mapping: {
      version: 1,
      digest: '0123456789abcdef',
      layers: 4,
      logicalExperts: 8,
      physicalExperts: 12,
      ranks: 0,
    },
    swap: null,
    load: {
      balancedness: 0.7,
      imbalance: 1.4,
      meanStepMillis: 3,
      passes: 5,
      missingRanks: [],
    },
    ranks: [],
    economy,
    pendingPlan: null,
    history: [],
    swaps: { committed: 1, void: 0 },
    messagesRefused: 0,
  };

  it('says who leads, and what keeps balancing back', () => {
    expect(renderStatus(status)).toContain(
      'led by coordinator (term 1, lease of 15.0 s renewed 1.2 s ago)',
    );
    const incarnation = '0123456789abcdef';
    const troubled = renderStatus({
      ...status,
      heldBack: 'backing off after version 7: rank 2: no space',
      backOff: { remainingMs: 2_500, version: 7, reason: 'rank 2: no space' },
      drained: [3],
      dead: [{ rank: 1, incarnation, proof: 'cut' }],
      suspected: [{ rank: 2, incarnation, lostBy: [0, 3] }],
    });
    expect(troubled).toContain('held back    backing off after version 7: rank 2: no space');
    expect(troubled).toContain('back-off     2.5 s more');
    expect(troubled).toContain('drained      rank 3');
    expect(troubled).toContain(`dead         rank 1 (${incarnation}), cut`);
    expect(troubled).toContain(`suspected    rank 2 (${incarnation}), lost by rank 0, 3`);
    const held = 'rolled back to version 3';
    expect(renderStatus({ ...status, held, heldBack: `held: ${held}` })).toContain(
      'held         rolled back to version 3, until isobar resume',
    );
  });

  it('says how loads were forecast when last planned, and nothing of it before', () => {
    expect(renderStatus(status)).not.toContain('forecast');
    const planned = plan(economy, 'its gain pays for its moves');
    const history: StatusAnswer['history'] = [0.9, 0.0734].map((relativeError) => ({
      at: '2026-01-01T00:00:00.000Z',
      plan: { ...planned, forecast: { ...planned.forecast, relativeError } },
      outcome: 'observed',
      askedBy: null,
      wavesCommitted: 0,
      measuredBalancedness: null,
      measuredStepMillis: null,
    }));
    const lines = renderStatus({ ...status, history }).split('\n');
    expect(lines.filter((line) => line.startsWith('forecast'))).toEqual([
      'forecast     7.3 % off so far (last-window 75 %, mean 25 %); a shift in 4 and a period in 1 of 4 layers, when last planned',
    ]);
  });
});

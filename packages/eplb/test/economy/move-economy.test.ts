import {
  configuredStepTimes,
  EplbError,
  layerBenefits,
  moveEconomy,
  netBenefit,
  type RebalanceEconomy,
  StepTimeModel,
} from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const seeded = { seed: 20_261_124 };

/** Nothing observed: the time per token of no layer is known. */
const held = new StepTimeModel({ numLayers: 2 }).fit();
const known = configuredStepTimes(2, 1e-6);

function economy(change: Partial<RebalanceEconomy> = {}): RebalanceEconomy {
  return {
    stepTimes: known,
    horizonPasses: 100,
    bytesPerExpert: Float64Array.of(1e6, 4e6),
    bandwidthBytesPerSecond: 1e9,
    interference: 0.5,
    ...change,
  };
}

function report(moves: number, ...layerGains: number[]) {
  return { moves, layerGains: Float64Array.from(layerGains) };
}

describe('moveEconomy', () => {
  it('is the slowdown of a move in tokens of the largest rank, by layer', () => {
    const { moveCosts, reasons } = moveEconomy(economy());
    // 1e6 bytes at 1e9 bytes/s slow by half for 0.5 ms; a token saves 1e-6 s in 100 passes.
    expect(moveCosts[0]).toBeCloseTo(5, 9);
    expect(moveCosts[1]).toBeCloseTo(20, 9);
    expect(reasons).toEqual([null, null]);
  });

  it('holds a layer whose time per token can not be told from noise, and says why', () => {
    const stepTimes = [...held.slice(0, 1), ...known.slice(1)];
    const { moveCosts, reasons } = moveEconomy(economy({ stepTimes }));
    expect(moveCosts[0]).toBe(Number.POSITIVE_INFINITY);
    expect(moveCosts[1]).toBeCloseTo(20, 9);
    expect(reasons).toEqual([expect.stringContaining('observations'), null]);
  });

  it('never lets a move cost less than what a forecast can tell', () => {
    const leastMoveCosts = Float64Array.of(7, 7);
    const { moveCosts } = moveEconomy(economy({ leastMoveCosts }));
    expect(moveCosts[0]).toBe(7);
    expect(moveCosts[1]).toBeCloseTo(20, 9);
  });

  it('agrees with the net benefit: a move pays where it saves more tokens than it costs', () => {
    const positive = (max: number) => fc.double({ min: 1e-6, max, noNaN: true });
    fc.assert(
      fc.property(
        fc.record({
          perTokenSeconds: positive(1),
          horizonPasses: positive(1e4),
          bytes: positive(1e9),
          bandwidthBytesPerSecond: positive(1e11),
          interference: positive(3),
          moves: fc.integer({ min: 1, max: 100 }),
        }),
        ({ perTokenSeconds, bytes, moves, ...figures }) => {
          const of = {
            ...figures,
            stepTimes: configuredStepTimes(1, perTokenSeconds),
            bytesPerExpert: Float64Array.of(bytes),
          };
          const cost = (moveEconomy(of).moveCosts[0] ?? 0) * moves;
          expect(netBenefit(report(moves, cost * 1.001), of).pays).toBe(true);
          expect(netBenefit(report(moves, cost * 0.999), of).pays).toBe(false);
        },
      ),
      seeded,
    );
  });
});

describe('netBenefit', () => {
  it('sums gains over layers, each at its own time per token, against all bytes', () => {
    const stepTimes = [...configuredStepTimes(1, 1e-6), ...configuredStepTimes(1, 3e-6)];
    const told = netBenefit(report(2, 1_000, 500), economy({ stepTimes }));
    expect(told.benefitSeconds).toBeCloseTo((1_000 * 1e-6 + 500 * 3e-6) * 100, 12);
    expect(told.costSeconds).toBeCloseTo((2 * 4e6 * 0.5) / 1e9, 12);
    expect(told).toMatchObject({ pays: true, reason: 'its gain pays for its moves' });
  });

  it('is by layer in seconds, by which waves are put in order', () => {
    const stepTimes = [...held.slice(0, 1), ...configuredStepTimes(1, 3e-6)];
    expect(layerBenefits(report(2, 1_000, 500), economy({ stepTimes }))).toEqual(
      Float64Array.of(0, 500 * 3e-6 * 100),
    );
  });

  it('does not pay where every layer is held, however large the gain, and says why', () => {
    const told = netBenefit(report(1, 1e12, 1e12), economy({ stepTimes: held, interference: 0 }));
    expect(told).toMatchObject({ pays: false, benefitSeconds: 0 });
    expect(told.reason).toMatch(/nothing is moved: .* can't be told from noise in any layer/);
  });

  it('counts nothing for the gain of a held layer, and names it beside what is done', () => {
    const stepTimes = [...held.slice(0, 1), ...known.slice(1)];
    const told = netBenefit(report(1, 1e9, 1_000), economy({ stepTimes }));
    expect(told.benefitSeconds).toBeCloseTo(0.1, 12);
    expect(told.pays).toBe(true);
    expect(told.reason).toMatch(/its gain pays.*held are 1 of 2 layers/);
  });

  it('tells a plan without moves from one that costs too much', () => {
    expect(netBenefit(report(0, 0, 0), economy()).reason).toMatch(/no change would pay/);
    expect(netBenefit(report(1, 1e-3, 0), economy()).reason).toMatch(/does not pay/);
  });

  it('refuses figures that are none, naming the field', () => {
    const refused: [string, () => void][] = [
      ['horizonPasses', () => moveEconomy(economy({ horizonPasses: 0 }))],
      ['bandwidthBytesPerSecond', () => moveEconomy(economy({ bandwidthBytesPerSecond: -1 }))],
      ['interference', () => moveEconomy(economy({ interference: Number.NaN }))],
      ['stepTimes', () => moveEconomy(economy({ stepTimes: [] }))],
      ['bytesPerExpert', () => moveEconomy(economy({ bytesPerExpert: Float64Array.of(1) }))],
      ['leastMoveCosts', () => moveEconomy(economy({ leastMoveCosts: Float64Array.of(1, -1) }))],
      ['layerGains', () => netBenefit(report(1, 1), economy())],
    ];
    for (const [field, act] of refused) {
      expect(act).toThrow(EplbError);
      expect(act).toThrow(expect.objectContaining({ fields: { field } }));
    }
  });
});

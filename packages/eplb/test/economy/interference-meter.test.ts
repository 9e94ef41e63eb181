import { EplbError, InterferenceMeter } from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const seeded = { seed: 20_261_124 };

function add(meter: InterferenceMeter, slowness: number, transferring: boolean, times: number) {
  for (let time = 0; time < times; time += 1) meter.add(slowness, transferring);
}

describe('InterferenceMeter', () => {
  it('keeps the prior until enough of both kinds has been seen', () => {
    const meter = new InterferenceMeter({ prior: 0.1, observationsMin: 3 });
    add(meter, 2, true, 10);
    add(meter, 1, false, 2);
    expect(meter.interference).toEqual({
      share: 0.1,
      basis: 'configured',
      transferring: 10,
      quiet: 2,
    });
    add(meter, 1, false, 1);
    expect(meter.interference).toMatchObject({ share: 1, basis: 'measured', quiet: 3 });
  });

  it('measures the share by which steps are slower, whatever their unit and order', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 3, noNaN: true }),
        fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
        fc.array(fc.boolean(), { maxLength: 50 }),
        (share, unit, kinds) => {
          const meter = new InterferenceMeter({ prior: 0.5 });
          for (const transferring of [...kinds, ...Array(4).fill(true), ...Array(4).fill(false)]) {
            meter.add(unit * (transferring ? 1 + share : 1), transferring);
          }
          expect(meter.interference.basis).toBe('measured');
          expect(meter.interference.share).toBeCloseTo(share, 9);
        },
      ),
      seeded,
    );
  });

  it('is never negative, and follows a change', () => {
    const meter = new InterferenceMeter({ prior: 0.5, decay: 0.5 });
    add(meter, 1, false, 20);
    add(meter, 0.5, true, 20);
    expect(meter.interference.share).toBe(0);
    add(meter, 1.25, true, 40);
    expect(meter.interference.share).toBeCloseTo(0.25, 6);
  });

  it('refuses what is no measurement, naming the field', () => {
    const meter = new InterferenceMeter({ prior: 0 });
    const refused: [string, () => void][] = [
      ['slowness', () => meter.add(0, true)],
      ['slowness', () => meter.add(Number.NaN, false)],
      ['prior', () => new InterferenceMeter({ prior: -0.1 })],
      ['decay', () => new InterferenceMeter({ prior: 0, decay: 2 })],
      ['observationsMin', () => new InterferenceMeter({ prior: 0, observationsMin: 0 })],
    ];
    for (const [field, act] of refused) {
      expect(act).toThrow(EplbError);
      expect(act).toThrow(expect.objectContaining({ fields: { field } }));
    }
  });
});

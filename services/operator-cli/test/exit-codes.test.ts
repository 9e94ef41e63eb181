import { IsobarError } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { parseDuration } from '../src/duration.js';
import { errorCodeOf, exitCodeOf } from '../src/exit-codes.js';

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
  ])('%s is %d ms', (text, millis) => {
    expect(parseDuration(text)).toBe(millis);
  });

  it.each(['', '30', '0s', '-1s', '25h', '1d', 's'])('%j is refused', (text) => {
    expect(() => parseDuration(text)).toThrow('must be a duration');
  });
});

describe('exit codes', () => {
  it('tell an absent server from a refusal', () => {
    expect(exitCodeOf(new IsobarError('ISOBAR_BUS_UNREACHABLE', ''))).toBe(3);
    expect(exitCodeOf(new IsobarError('ISOBAR_BUS_NO_RESPONDERS', ''))).toBe(3);
    expect(exitCodeOf(new IsobarError('ISOBAR_TRACE_SHAPE', ''))).toBe(1);
    expect(exitCodeOf(new Error('anything'))).toBe(1);
  });

  it('a refused command has the code of its refusal', () => {
    const fields = { serviceCode: 'ISOBAR_COORDINATOR_PLAN_OUTDATED' };
    const refused = new IsobarError('ISOBAR_BUS_SERVICE_ERROR', '', fields);
    expect(errorCodeOf(refused)).toBe('ISOBAR_COORDINATOR_PLAN_OUTDATED');
  });
});

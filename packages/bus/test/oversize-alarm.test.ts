import { OversizeAlarm } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const tooLarge = new IsobarError('ISOBAR_BUS_PAYLOAD_TOO_LARGE', 'too large', { bytes: 2 });

function refusing(error: Error): () => void {
  return () => {
    throw error;
  };
}

describe('what is too large for the server', () => {
  it('is told once of each kind, and once more after a reset', () => {
    const told: IsobarError[] = [];
    const alarm = new OversizeAlarm((error) => told.push(error));
    for (const kind of ['vote', 'vote', 'report']) alarm.watch(kind, refusing(tooLarge));
    expect(told).toEqual([tooLarge, tooLarge]);
    alarm.reset();
    alarm.watch('vote', refusing(tooLarge));
    expect(told).toHaveLength(3);
  });

  it('is all that is held back', () => {
    const told: IsobarError[] = [];
    const alarm = new OversizeAlarm((error) => told.push(error));
    let sent = 0;
    alarm.watch('vote', () => {
      sent += 1;
    });
    const failed = new IsobarError('ISOBAR_BUS_FAILED', 'closed');
    expect(() => alarm.watch('vote', refusing(failed))).toThrow(failed);
    expect({ sent, told }).toEqual({ sent: 1, told: [] });
  });
});

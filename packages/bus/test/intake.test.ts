import { Intake } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';

let nowMs = 0;
let lines: Record<string, unknown>[] = [];
let intake: Intake;

beforeEach(() => {
  nowMs = 0;
  lines = [];
  intake = new Intake({
    deployment: 'prod',
    now: () => nowMs,
    logger: {
      warn: (fields, text) => lines.push({ ...fields, text }),
      info: (fields, text) => lines.push({ ...fields, text }),
    },
  });
});

const nothing = new Uint8Array(0);

describe('an intake', () => {
  it('tells a flood in three lines: its begin, its sum, its end', () => {
    for (let message = 0; message < 10_000; message += 1) {
      intake.read('load', nothing, () => {
        throw new IsobarError('ISOBAR_PROTOCOL_MALFORMED', 'no load');
      });
    }
    expect(intake.recent()).toEqual([{ kind: 'load', reason: 'malformed', count: 10_000 }]);
    for (let minute = 0; minute < 5; minute += 1) {
      nowMs += 60_000;
      intake.tick();
    }
    expect(lines.map(({ text, since }) => ({ text, since }))).toEqual([
      { text: 'message refused', since: 1 },
      { text: 'messages are still refused', since: 9_999 },
      { text: 'messages are refused no more', since: 0 },
    ]);
    expect(lines[0]).toMatchObject({ message: 'load', todo: expect.stringContaining('sender') });
    expect(intake.recent()).toEqual([]);
    expect(intake.refused).toBe(10_000);
  });

  it('takes what the server did not permit for a refusal, by what travels on the subject', () => {
    const subject = 'isobar.v1.prod.load.3';
    const denied = new IsobarError('ISOBAR_BUS_NOT_PERMITTED', `${subject}: no`, { subject });
    expect(intake.takeBusError(denied)).toBe(true);
    expect(intake.takeBusError(new IsobarError('ISOBAR_BUS_NO_INBOX', 'no inbox'))).toBe(true);
    expect(intake.takeBusError(new IsobarError('ISOBAR_BUS_FAILED', 'else'))).toBe(false);
    expect(intake.recent()).toEqual([
      { kind: 'load', reason: 'not-permitted', count: 1 },
      { kind: 'command', reason: 'no-inbox', count: 1 },
    ]);
    expect(lines[0]).toMatchObject({ todo: expect.stringContaining('docs/SECURITY.md') });
  });

  it('refuses what is larger than any message of its kind, unread', () => {
    const read = () => expect.unreachable('it was read');
    expect(intake.read('cut', new Uint8Array(5_000), read)).toBeNull();
    expect(intake.recent()).toEqual([{ kind: 'cut', reason: 'too-large', count: 1 }]);
  });

  it('throws on what is no refusal: a bug is not a message', () => {
    const bug = () => {
      throw new TypeError('a bug');
    };
    expect(() => intake.read('load', nothing, bug)).toThrow(TypeError);
  });
});

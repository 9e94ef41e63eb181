import { beforeEach, describe, expect, it } from 'vitest';
import { RankInboxes, type RankMessage, type RankMessageKind } from '../src/rank-inboxes.js';

let read: string[];
let dropped: string[];
let failures: unknown[];
let onRead: (message: RankMessage) => void;
let inboxes: RankInboxes;

const message = (kind: RankMessageKind, subject: string): RankMessage => ({
  kind,
  subject,
  payload: new Uint8Array(0),
});

/** All turns that are to be taken. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

beforeEach(() => {
  read = [];
  dropped = [];
  failures = [];
  onRead = ({ subject }) => read.push(subject);
  inboxes = new RankInboxes({
    read: (taken) => onRead(taken),
    onDropped: ({ subject }) => dropped.push(subject),
    onFailure: (cause) => failures.push(cause),
  });
});

describe('messages of ranks', () => {
  it('are read by turns: who sends many delays only his own', async () => {
    for (let sent = 0; sent < 10; sent += 1) inboxes.add(0, message('load', `flood ${sent}`));
    inboxes.add(1, message('vote', 'vote of 1'));
    inboxes.add(2, message('report', 'report of 2'));
    await turns(1);
    expect(read).toEqual(['flood 0', 'vote of 1', 'report of 2']);
    await turns(9);
    expect(read).toHaveLength(12);
  });

  it('wait up to a number of each kind, and are dropped and told beyond it', async () => {
    for (let sent = 0; sent < 70; sent += 1) inboxes.add(0, message('load', `load ${sent}`));
    for (let sent = 0; sent < 20; sent += 1) inboxes.add(0, message('vote', `vote ${sent}`));
    inboxes.add(1, message('load', 'of another'));
    await turns(90);
    expect(read).toHaveLength(64 + 16 + 1);
    expect(dropped).toHaveLength(6 + 4);
    expect(read).toContain('of another');
  });

  it('that are reports wait alone: the newest says all', async () => {
    for (let sent = 0; sent < 1_000; sent += 1) inboxes.add(0, message('report', `report ${sent}`));
    await turns(3);
    expect({ read, dropped }).toEqual({ read: ['report 999'], dropped: [] });
  });

  it('that fail to be read stop nobody else’s', async () => {
    onRead = ({ subject }) => {
      if (subject === 'bad') throw new Error('a bug');
      read.push(subject);
    };
    inboxes.add(0, message('load', 'bad'));
    inboxes.add(1, message('load', 'good'));
    await turns(1);
    expect(failures).toHaveLength(1);
    expect(read).toEqual(['good']);
  });

  it('are not read once nobody listens', async () => {
    inboxes.add(0, message('load', 'late'));
    inboxes.clear();
    await turns(2);
    expect(read).toEqual([]);
  });
});

import { type ChangeAnswer, IsobarError } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { type FollowOptions, followChange } from '../src/commands/follow-change.js';

const running: ChangeAnswer = {
  requestId: 'mine',
  command: 'drain',
  dryRun: false,
  state: 'running',
  outcome: null,
  reason: '',
  code: null,
  baseVersion: 3,
  version: null,
  effect: null,
  plan: null,
  control: {
    mode: 'observe',
    paused: false,
    held: null,
    drained: [3],
    slotLimits: [],
    dead: [],
    parameters: {},
  },
};
const done: ChangeAnswer = { ...running, state: 'done', outcome: 'committed', version: 4 };

type Reply = ChangeAnswer | Error | 'never';

/** Follows a drain that is answered so, one after the other. */
function follow(replies: Reply[], changes: Partial<FollowOptions> = {}) {
  const questions: unknown[] = [];
  const heard: ChangeAnswer[] = [];
  const ask = (name: string, question: unknown) => {
    questions.push([name, question]);
    const reply = replies.shift() ?? 'never';
    if (reply === 'never') return new Promise<ChangeAnswer>(() => undefined);
    return reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply);
  };
  const options: FollowOptions = {
    waitMsMax: null,
    onRunning: (answer) => heard.push(answer),
    signal: new AbortController().signal,
    ...changes,
  };
  const client = { ask } as unknown as Parameters<typeof followChange>[0];
  const answer = followChange(client, 'drain', { rank: 3, requestId: 'mine' }, options);
  return { answer, questions, heard };
}

const error = (code: string) => new IsobarError(code, code);

describe('a command that is followed', () => {
  it('is asked for again under one request id until its outcome is known', async () => {
    const { answer, questions, heard } = follow([running, running, done]);
    expect(await answer).toEqual(done);
    expect(heard).toEqual([running, running]);
    expect(questions).toHaveLength(3);
    for (const question of questions) {
      expect(question).toEqual([
        'drain',
        { rank: 3, requestId: 'mine', waitMs: expect.any(Number) },
      ]);
    }
  });

  it('keeps what it takes, which only the first answer tells', async () => {
    const effect = { waves: 1, moves: 8, bytes: 4_096, ranks: [0, 3] };
    const { answer } = follow([{ ...running, effect }, running, done]);
    expect(await answer).toEqual({ ...done, effect });
  });

  it('is sent again where the answer was lost or the leader was deposed', async () => {
    const lost = [error('ISOBAR_BUS_TIMEOUT'), error('ISOBAR_COORDINATOR_DEPOSED'), done];
    expect(await follow(lost).answer).toEqual(done);
  });

  it('outlives a time in which nobody leads, once it has been taken', async () => {
    const gap = [running, error('ISOBAR_BUS_NO_RESPONDERS'), done];
    expect(await follow(gap).answer).toEqual(done);
  });

  it.each([
    'ISOBAR_BUS_NO_RESPONDERS',
    'ISOBAR_COORDINATOR_NOT_LEADING',
    'ISOBAR_COORDINATOR_PAUSED',
  ])('is refused by %s at first, and not sent again', async (code) => {
    const { answer, questions } = follow([error(code), done]);
    await expect(answer).rejects.toMatchObject({ code });
    expect(questions).toHaveLength(1);
  });

  it('is not waited for where nobody wants to', async () => {
    const { answer, questions } = follow([running], { waitMsMax: 0 });
    expect(await answer).toEqual(running);
    expect(questions).toEqual([['drain', { rank: 3, requestId: 'mine', waitMs: 0 }]]);
  });

  it('goes on alone when the waiting is interrupted', async () => {
    const interrupted = new AbortController();
    const { answer } = follow([running, 'never'], {
      signal: interrupted.signal,
      onRunning: () => setImmediate(() => interrupted.abort()),
    });
    await expect(answer).rejects.toMatchObject({ name: 'AbortError' });
  });
});

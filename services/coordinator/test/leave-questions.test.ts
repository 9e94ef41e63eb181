import { type CommandRequest, IsobarError, type LeaveQuestion } from '@isobar/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OperationContent, OperationResult } from '../src/change-commands.js';
import type { CommandEvent } from '../src/command-endpoints.js';
import type { CommandTarget } from '../src/command-target.js';
import { LeaveQuestions } from '../src/leave-questions.js';
import { controlOf, LeadershipWorld } from './leadership-world.js';

const incarnation = '2'.repeat(16);

function question(fields: Partial<LeaveQuestion> = {}): LeaveQuestion {
  return { schema: 1, rank: 2, incarnation, requestId: 'leave-0', ...fields };
}

function requestOf(fields: Partial<CommandRequest>): CommandRequest {
  const requester = { verified: false, account: null, user: 'agent-2', host: null };
  return {
    id: 'leave-0',
    digest: '0'.repeat(64),
    command: 'leave',
    requester,
    outcome: null,
    reason: '',
    baseVersion: 2,
    version: null,
    targetDigest: null,
    awaitedVersion: null,
    emptiedRanks: [2],
    ...fields,
  };
}

describe('an agent that asks to leave', () => {
  let world: LeadershipWorld;
  let operated: OperationContent[];
  let told: CommandEvent[];
  let result: CommandRequest | IsobarError;
  let questions: LeaveQuestions;

  beforeEach(() => {
    world = new LeadershipWorld();
    operated = [];
    told = [];
    result = requestOf({});
    const target: CommandTarget = {
      isHolder: () => true,
      leadership: () => world.leadership,
      get parameters(): never {
        throw new Error('nobody asks for parameters');
      },
      control: () => controlOf(),
      operate: (operation) => {
        operated.push(operation);
        const answer: OperationResult | IsobarError =
          result instanceof IsobarError
            ? result
            : { control: controlOf(), request: result, isRepeated: false };
        const done =
          answer instanceof IsobarError ? Promise.reject(answer) : Promise.resolve(answer);
        return { token: operated.length, done };
      },
      preview: () => ({ refusal: null, control: controlOf() }),
      settled: () => Promise.resolve(null),
      status: () => {
        throw new Error('nobody asks for the status');
      },
      audit: () => {
        throw new Error('nobody reads events');
      },
    };
    questions = new LeaveQuestions(target, (event) => told.push(event));
  });
  afterEach(() => world.leadership.stop());

  it('has its own incarnation leave, as a command of its own', async () => {
    expect(await questions.answer(question())).toMatchObject({ state: 'leaving' });
    expect(operated).toMatchObject([
      {
        request: { change: 'leave', ranks: [2], members: [{ rank: 2, incarnation }] },
        command: { id: 'leave-0', command: 'leave', requester: { user: 'agent-2' } },
      },
    ]);
    await questions.answer(question());
    expect(told).toEqual([
      {
        command: 'leave',
        requester: { verified: false, account: null, user: 'agent-2', host: null },
        outcome: 'done',
        code: null,
        requestId: 'leave-0',
      },
    ]);
  });

  it('has left where no version lists it, nor one that is open', async () => {
    const other = question({ incarnation: '9'.repeat(16) });
    expect(await questions.answer(other)).toMatchObject({ state: 'left' });
    expect(operated).toEqual([]);
  });

  it('is told why not now, and why an attempt has come to nothing', async () => {
    result = new IsobarError('ISOBAR_COORDINATOR_PAUSED', 'paused');
    const refused = { state: 'refused', code: 'ISOBAR_COORDINATOR_PAUSED', reason: 'paused' };
    expect(await questions.answer(question())).toMatchObject(refused);
    result = requestOf({ outcome: 'degraded', reason: 'no other place' });
    expect(await questions.answer(question())).toMatchObject({
      state: 'failed',
      reason: 'degraded: no other place',
    });
    // The leader before called it committed, though the version that lists it is in force still.
    result = requestOf({ outcome: 'committed' });
    expect(await questions.answer(question())).toMatchObject({ state: 'failed' });
  });

  it('makes no attempt right after another', async () => {
    await questions.answer(question());
    const next = await questions.answer(question({ requestId: 'leave-1' }));
    expect(next).toMatchObject({ state: 'refused', code: 'ISOBAR_COORDINATOR_BUSY' });
    expect(operated).toHaveLength(1);
  });
});

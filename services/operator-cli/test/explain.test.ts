import type { ExplainAnswer } from '@isobar/protocol';
import { expect, it } from 'vitest';
import { explainWhole, renderExplanation } from '../src/commands/watching.js';

const votes = { yes: 4, needed: 4 };
const newest: ExplainAnswer = {
  version: 7,
  outcome: 'committed',
  reason: 'plan 01234567',
  term: 3,
  change: 'rebalance',
  digest: '0'.repeat(64),
  members: [],
  moves: 2,
  bytes: 20,
  askedBy: null,
  plan: null,
  measured: null,
  durations: null,
  votes: null,
  events: [],
  searched: 4_096,
  next: 9_000,
};

/** A coordinator that tells `pages`, the newest first. */
function asked(pages: readonly ExplainAnswer[]) {
  const questions: unknown[] = [];
  const left = [...pages];
  const ask = (_: string, question: unknown) => {
    questions.push(question);
    const page = left.shift();
    return page === undefined ? expect.unreachable() : Promise.resolve(page);
  };
  const client = { ask } as unknown as Parameters<typeof explainWhole>[0];
  return { answer: explainWhole(client, 7), questions };
}

it('looks further back until the version was found, and says where it stopped', async () => {
  const finished = { kind: 'swap-finished', at: 3, version: 7 };
  const decided = { kind: 'decided', at: 2, version: 7 };
  const { answer, questions } = asked([
    newest,
    { ...newest, events: [finished], votes, next: 4_904 },
    { ...newest, events: [decided], next: 808 },
    { ...newest, searched: 700, next: 108 },
  ]);
  const whole = await answer;
  expect(whole).toMatchObject({ votes, events: [decided, finished], searched: 12_988, next: 108 });
  expect(questions).toEqual([
    { version: 7 },
    { version: 7, before: 9_000 },
    { version: 7, before: 4_904 },
    { version: 7, before: 808 },
  ]);
  expect(renderExplanation(whole)).toContain('the newest 12988 events; older ones may tell more');
  const all = await asked([{ ...newest, next: null }]).answer;
  expect(renderExplanation(all)).not.toContain('looked at');
});

it('asks a bounded number of times', async () => {
  const { answer, questions } = asked(Array.from({ length: 64 }, () => newest));
  expect((await answer).next).toBe(9_000);
  expect(questions).toHaveLength(64);
});

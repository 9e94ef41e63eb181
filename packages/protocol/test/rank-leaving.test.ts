import {
  type EngineState,
  emptyDurableRankState,
  initialRankSwap,
  type LeaveAnswer,
  type LeaveQuestion,
  type RankSwapEffect,
  type RankSwapEvent,
  stepRankSwap,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { Group } from './support/group.js';

/** One rank's agent and the questions that it has asked. */
class Leaving {
  readonly asked: LeaveQuestion[] = [];
  readonly told: RankSwapEffect[] = [];
  #state = initialRankSwap(1, emptyDurableRankState);
  readonly #group = new Group(2);

  hear(event: RankSwapEvent): void {
    const { state, effects } = stepRankSwap(this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      if (effect.kind === 'ask-leave') this.asked.push(effect.question);
      else this.told.push(effect);
    }
  }

  connect(life: number, wishes: Partial<EngineState> = {}): void {
    this.#group.restart(1, life, 'serving');
    const { engine } = this.#group.answer(1);
    if (engine === null) throw new Error('no engine');
    const { description } = engine;
    const state = { ...engine.state, ...wishes };
    this.hear({ kind: 'engine-hello', description, state, process: null });
  }

  tick(times = 1): void {
    for (let tick = 0; tick < times; tick += 1) this.hear({ kind: 'tick' });
  }

  answer(state: LeaveAnswer['state'], reason = ''): void {
    const question = this.asked.at(-1);
    if (question === undefined) throw new Error('nothing was asked');
    const answer = { schema: 1, state, code: null, reason } as const;
    this.hear({ kind: 'leave-told', question, answer });
  }

  get ids(): string[] {
    return this.asked.map(({ requestId }) => requestId.slice(-1));
  }

  get left(): number {
    return this.told.filter(({ kind }) => kind === 'left').length;
  }

  get refusals(): unknown[] {
    return this.told.flatMap((effect) => (effect.kind === 'refused' ? [effect.fields.reason] : []));
  }

  get reportsLeaving(): boolean | undefined {
    const report = this.told.findLast(({ kind }) => kind === 'send-report');
    return report?.kind === 'send-report' ? report.report.engine?.leaving : undefined;
  }
}

describe('a rank that leaves by itself', () => {
  it('asks, under one id and once at a time, until no version lists it', () => {
    const rank = new Leaving();
    rank.connect(1);
    expect(rank.reportsLeaving).toBeUndefined();
    rank.hear({ kind: 'leave' });
    rank.tick(3);
    expect(rank.ids).toEqual(['0']);
    expect(rank.reportsLeaving).toBe(true);
    rank.answer('leaving');
    rank.tick();
    rank.answer('refused', 'a rollback comes first');
    rank.tick();
    rank.answer('refused', 'a rollback comes first');
    rank.tick();
    expect(rank.ids).toEqual(['0', '0', '0', '0']);
    expect(rank.refusals).toEqual(['a rollback comes first']);
    expect(rank.left).toBe(0);
    rank.answer('left');
    expect(rank.left).toBe(1);
  });

  it('asks again where nobody has answered', () => {
    const rank = new Leaving();
    rank.connect(1);
    rank.hear({ kind: 'leave' });
    const [question] = rank.asked;
    if (question === undefined) throw new Error('nothing was asked');
    rank.hear({ kind: 'leave-told', question, answer: null });
    rank.tick();
    expect(rank.asked).toEqual([question, question]);
  });

  it('waits ever longer before another attempt, where one has come to nothing', () => {
    const rank = new Leaving();
    rank.connect(1);
    rank.hear({ kind: 'leave' });
    rank.answer('failed', 'degraded');
    rank.tick(2);
    expect(rank.ids).toEqual(['0']);
    rank.tick();
    expect(rank.ids).toEqual(['0', '1']);
    rank.answer('failed', 'degraded');
    rank.tick(4);
    expect(rank.ids).toEqual(['0', '1']);
    rank.tick();
    expect(rank.ids).toEqual(['0', '1', '2']);
  });

  it('does so where its engine wants to, and asks no more once that has left', () => {
    const rank = new Leaving();
    rank.connect(1, { leaving: true });
    rank.tick();
    rank.answer('left');
    rank.tick(3);
    expect(rank.ids).toEqual(['0']);
    rank.connect(2);
    rank.tick(3);
    expect(rank.ids).toEqual(['0']);
    // Asked to stop, the agent has the new engine leave as well.
    rank.hear({ kind: 'leave' });
    expect(rank.asked.map(({ incarnation }) => incarnation[0])).toEqual(['1', '2']);
    expect(rank.left).toBe(1);
    rank.answer('left');
    expect(rank.left).toBe(2);
  });

  it('has left at once without an engine', () => {
    const rank = new Leaving();
    rank.hear({ kind: 'leave' });
    expect(rank.left).toBe(1);
    expect(rank.asked).toEqual([]);
  });
});

import { Actor } from '@isobar/bus';
import type { IsobarError } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

function counting(options: { readonly failAt?: number; readonly mailboxMax?: number } = {}) {
  const performed: number[] = [];
  const failures: IsobarError[] = [];
  const actor = new Actor<number, number, number>({
    name: 'counter',
    initial: 0,
    step: (state, event) => ({ state: state + event, effects: [state + event] }),
    perform: async (effect) => {
      await Promise.resolve();
      if (effect === options.failAt) throw new Error('broken');
      performed.push(effect);
    },
    onFailure: (error) => failures.push(error),
    ...(options.mailboxMax === undefined ? {} : { mailboxMax: options.mailboxMax }),
  });
  return { actor, performed, failures };
}

describe('an actor', () => {
  it('handles events one after the other, each effect before the next event', async () => {
    const { actor, performed } = counting();
    for (const event of [1, 2, 3]) expect(actor.send(event)).toBe(true);
    expect(actor.state).toBe(0);
    await actor.idle();
    expect(performed).toEqual([1, 3, 6]);
    expect(actor.state).toBe(6);
  });

  it('refuses and counts what its mailbox can not hold', async () => {
    const { actor, performed } = counting({ mailboxMax: 2 });
    expect([1, 2, 3].map((event) => actor.send(event))).toEqual([true, true, false]);
    expect(actor.dropped).toBe(1);
    await actor.idle();
    expect(performed).toEqual([1, 3]);
  });

  it('stops at a failed effect, and says so', async () => {
    const { actor, performed, failures } = counting({ failAt: 3 });
    for (const event of [1, 2, 3]) actor.send(event);
    await actor.idle();
    expect(performed).toEqual([1]);
    expect(failures).toMatchObject([{ code: 'ISOBAR_BUS_ACTOR_FAILED' }]);
    expect(actor.send(4)).toBe(false);
  });
});

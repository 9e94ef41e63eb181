import { Actor } from '@isobar/bus';
import type { IsobarError } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

interface Limits {
  readonly mailboxMax?: number;
  readonly mailboxBytesMax?: number;
}

function counting({ failAt, ...limits }: Limits & { readonly failAt?: number } = {}) {
  const performed: number[] = [];
  const failures: IsobarError[] = [];
  const actor = new Actor<number, number, number>({
    name: 'counter',
    initial: 0,
    step: (state, event) => ({ state: state + event, effects: [state + event] }),
    perform: async (effect) => {
      await Promise.resolve();
      if (effect === failAt) throw new Error('broken');
      performed.push(effect);
    },
    onFailure: (error) => failures.push(error),
    ...limits,
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

  it('refuses what would bring those that wait over a limit of bytes, and what waits no more is not counted', async () => {
    const { actor, performed } = counting({ mailboxBytesMax: 100 });
    const sent = [60, 41, 40, 1].map((bytes, index) => actor.send(index + 1, bytes));
    expect(sent).toEqual([true, false, true, false]);
    // What the process says itself has no bytes, and is let in.
    expect(actor.send(10)).toBe(true);
    expect(actor.dropped).toBe(2);
    expect(actor.waitingBytes).toBe(100);
    await actor.idle();
    expect(performed).toEqual([1, 4, 14]);
    expect(actor.waitingBytes).toBe(0);
    expect(actor.send(1, 101)).toBe(false);
    expect(actor.send(1, 100)).toBe(true);
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

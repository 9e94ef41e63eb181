import type { MapRecord } from '@isobar/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue } from './dist/kernel/event-queue.js';
import { Scheduler } from './dist/kernel/scheduler.js';
import { VirtualProcess } from './dist/kernel/virtual-process.js';
import { Reachability } from './dist/network/reachability.js';
import { OutcomeRules } from './dist/rules/outcome-rules.js';
import { RecordStore } from './dist/store/record-store.js';

describe('EventQueue', () => {
  it('gives events by time, and those of one moment as they came', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 })), (times) => {
        const queue = new EventQueue<{ readonly atMs: number; readonly order: number }>();
        const events = times.map((atMs, order) => ({ atMs, order }));
        for (const event of events) queue.push(event);
        const popped = events.map(() => queue.pop());
        expect(popped).toEqual(events.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order));
        expect(queue.pop()).toBeUndefined();
      }),
    );
  });
});

describe('Scheduler', () => {
  function started(): { scheduler: Scheduler; process: VirtualProcess } {
    const scheduler = new Scheduler();
    const process = new VirtualProcess('agent', 0, 2, 0);
    scheduler.start(process);
    return { scheduler, process };
  }

  function runUntil(scheduler: Scheduler, atMs: number): void {
    while (scheduler.step(atMs));
  }

  it('keeps what comes to a process that stands still, in order', () => {
    const { scheduler, process } = started();
    const seen: string[] = [];
    scheduler.pause(process, 100);
    scheduler.toLife(process, 10, () => seen.push(`first at ${scheduler.nowMs}`));
    scheduler.toAny(process, 20, () => seen.push(`second at ${scheduler.nowMs}`));
    runUntil(scheduler, 200);
    expect(seen).toEqual(['first at 100', 'second at 100']);
  });

  it('brings nothing of an earlier life to a later one, but what is for whoever runs', () => {
    const { scheduler, process } = started();
    const seen: string[] = [];
    scheduler.toLife(process, 10, () => seen.push('to the life before'));
    scheduler.toAny(process, 10, () => seen.push('to whoever runs'));
    scheduler.crash(process);
    scheduler.start(process);
    runUntil(scheduler, 20);
    expect(seen).toEqual(['to whoever runs']);
  });

  it('runs timers by the clock of the process', () => {
    const { scheduler, process } = started();
    let firedAtMs = 0;
    scheduler.timer(process, 100, () => {
      firedAtMs = scheduler.nowMs;
    });
    runUntil(scheduler, 1_000);
    expect(firedAtMs).toBe(50);
  });

  it.each([
    [null, ['one']],
    [30, ['one', 'two at 30', 'three at 30']],
  ])('strikes between two effects of a step (pause %s)', (pauseMs, expected) => {
    const { scheduler, process } = started();
    const seen: string[] = [];
    process.interruption = { effectsLeft: 2, pauseMs };
    scheduler.perform(process, ['one', 'two', 'three'], (effect) => {
      seen.push(scheduler.nowMs === 0 ? effect : `${effect} at ${scheduler.nowMs}`);
    });
    runUntil(scheduler, 100);
    expect(seen).toEqual(expected);
    expect(process.alive).toBe(pauseMs !== null);
  });
});

describe('RecordStore', () => {
  const bytes = (value: number) => Uint8Array.of(value);

  it('writes only on the revision that is expected', () => {
    const store = new RecordStore();
    expect(store.write('a', bytes(1), 0)).toEqual({ kind: 'set', revision: 1 });
    expect(store.write('a', bytes(2), 0)).toEqual({ kind: 'conflict' });
    expect(store.write('b', bytes(3), 0)).toEqual({ kind: 'set', revision: 2 });
    expect(store.write('a', bytes(4), 1)).toEqual({ kind: 'set', revision: 3 });
    expect(store.read('a', store.lastSequence)).toEqual({ bytes: bytes(4), revision: 3 });
  });

  it('tells what was there before, to a stale read, and gives lost numbers again', () => {
    const store = new RecordStore();
    store.write('a', bytes(1), 0);
    store.write('a', bytes(2), 1);
    expect(store.read('a', 1)).toEqual({ bytes: bytes(1), revision: 1 });
    expect(store.read('a', 0)).toBeNull();
    expect(store.lose(1)).toEqual(['a']);
    expect(store.read('a', store.lastSequence)).toEqual({ bytes: bytes(1), revision: 1 });
    expect(store.write('a', bytes(3), 1)).toEqual({ kind: 'set', revision: 2 });
  });
});

describe('Reachability', () => {
  it('cuts one way or both, and mends a pair once no partition cuts it', () => {
    const reachability = new Reachability(3);
    const mendForth = reachability.cut([0], [1], 'forth');
    expect(reachability.passes(0, 1)).toBe(false);
    expect(reachability.passes(1, 0)).toBe(true);
    const mendBoth = reachability.cut([0], [1, 2], 'both');
    mendForth();
    mendForth();
    expect(reachability.passes(0, 1)).toBe(false);
    mendBoth();
    expect(reachability.passesBothWays(0, 1)).toBe(true);
    expect(reachability.active).toBe(0);
  });
});

describe('OutcomeRules', () => {
  const fence = { term: 1, nonce: 'a'.repeat(16) };
  const outcomeOf = (version: number, outcome: 'void' | 'committed'): MapRecord => {
    const common = { schema: 1, version, fence, reason: '' } as const;
    if (outcome === 'void') return { ...common, outcome };
    const digest = 'b'.repeat(64);
    const mapping = {
      numLayers: 1,
      numLogicalExperts: 1,
      slotOffsets: Int32Array.of(0, 1),
      physicalToLogical: Int32Array.of(0),
    };
    const base = { version: 0, digest };
    const change = 'start';
    return { ...common, outcome, change, base, digest, mapping, members: [], voided: [] };
  };

  function told(): OutcomeRules {
    const rules = new OutcomeRules();
    for (const outcome of ['void', 'committed'] as const) {
      rules.created(outcomeOf(1, outcome), null);
      rules.told(outcomeOf(1, outcome), 'a leader');
    }
    return rules;
  }

  it('let what a dead engine alone has acted on be decided otherwise', () => {
    const rules = told();
    rules.acted(outcomeOf(1, 'void'), 'engine 1', 'dead');
    rules.outlive('dead');
    rules.acted(outcomeOf(1, 'committed'), 'engine 2', 'living');
    expect(rules.isActed(outcomeOf(1, 'committed'))).toBe(true);
  });

  it('hold its successor, under the same name, to what that has acted on', () => {
    const rules = told();
    rules.acted(outcomeOf(1, 'void'), 'engine 1', 'successor');
    rules.outlive('dead');
    expect(() => rules.acted(outcomeOf(1, 'committed'), 'engine 2', 'other')).toThrow('S1');
  });
});

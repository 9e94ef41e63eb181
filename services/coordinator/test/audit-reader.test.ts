import type { EventRange, StoredEvent } from '@isobar/bus';
import { encode } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { AuditReader, type KeptEvent } from '../src/audit-reader.js';

function streamOf(count: number) {
  return {
    async *read({ last = count, before = count + 1 }: EventRange): AsyncGenerator<StoredEvent> {
      for (let sequence = Math.max(1, before - last); sequence < before; sequence += 1) {
        const payload =
          sequence === 3
            ? Uint8Array.of(0xc1)
            : encode({ schema: 1, kind: 'decided', at: sequence, version: sequence % 4 });
        yield { subject: 'event.decided', payload, sequence };
      }
    },
  };
}

const sequences = (events: readonly { readonly sequence: number }[]) =>
  events.map(({ sequence }) => sequence);

describe('the reader of events', () => {
  it('gives the newest, without those that can not be read', async () => {
    const reader = new AuditReader(streamOf(5), 10_000);
    const { events, isComplete } = await reader.newest(4);
    expect(sequences(events)).toEqual([2, 4, 5]);
    expect(isComplete).toBe(true);
  });

  it('gives those that match, however far back, and says where it looked no further', async () => {
    const of = (version: number) => (event: KeptEvent) => event.version === version;
    const found = await new AuditReader(streamOf(40), 10_000).newest(3, { matches: of(2) });
    expect(sequences(found.events)).toEqual([30, 34, 38]);
    expect(found).toMatchObject({ searched: 40, isComplete: false });
    const far = await new AuditReader(streamOf(5_000), 10_000_000).newest(1_000, {
      matches: of(9),
    });
    expect(far).toMatchObject({ events: [], searched: 4_096, isComplete: false, next: 905 });
    const rest = await new AuditReader(streamOf(5_000), 10_000_000).newest(1_000, {
      matches: of(9),
      before: 905,
    });
    expect(rest).toMatchObject({ events: [], searched: 904, isComplete: true, next: null });
  });

  it('goes through all of them by pages, none twice and none left out', async () => {
    const reader = new AuditReader(streamOf(40), 10_000);
    for (const search of [{}, { matches: ({ version }: KeptEvent) => version === 2 }]) {
      const seen: number[] = [];
      let before: number | null | undefined;
      while (before !== null) {
        const page = await reader.newest(7, { ...search, before });
        seen.unshift(...sequences(page.events));
        before = page.next;
      }
      const all = Array.from({ length: 40 }, (_, at) => at + 1);
      const wanted = 'matches' in search ? all.filter((at) => at % 4 === 2) : all;
      expect(seen).toEqual(wanted.filter((at) => at !== 3));
    }
  });

  it('comes past one that fits into no answer', async () => {
    const page = await new AuditReader(streamOf(5), 10).newest(5);
    expect(page).toMatchObject({ events: [], isComplete: false, next: 5 });
  });

  it('gives no more than fit, the newest', async () => {
    const one = Buffer.byteLength(
      JSON.stringify({ schema: 1, kind: 'decided', at: 5, version: 1, sequence: 5 }),
    );
    const { events, isComplete } = await new AuditReader(streamOf(5), 2 * one).newest(5);
    expect(sequences(events)).toEqual([4, 5]);
    expect(isComplete).toBe(false);
  });

  it('refuses more readers than it takes at once', async () => {
    const reader = new AuditReader(streamOf(5), 10_000);
    const all = await Promise.allSettled(Array.from({ length: 5 }, () => reader.newest(5)));
    expect(all.map(({ status }) => status)).toEqual([
      ...Array<string>(4).fill('fulfilled'),
      'rejected',
    ]);
    await expect(reader.newest(5)).resolves.toMatchObject({ searched: 5 });
  });
});

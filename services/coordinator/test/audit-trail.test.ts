import { AuditTrail } from '@isobar/coordinator';
import { decode, IsobarError, subjectsOf } from '@isobar/protocol';
import { createLogger } from '@isobar/telemetry';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const eventSchema = z.looseObject({ kind: z.string() });
const tooLarge = new IsobarError('ISOBAR_BUS_FAILED', 'maximum payload exceeded');
const failure = new IsobarError('ISOBAR_BUS_TIMEOUT', 'no answer in time');

/** A stream that fails as often as it is told to, and resolves `stored` at each event it keeps. */
function fakeStream(failures: number) {
  const ids: string[] = [];
  const kinds: string[] = [];
  const events: Record<string, unknown>[] = [];
  let ensured = 0;
  let failing = failures;
  let enough: () => void = () => undefined;
  let wanted = 0;
  return {
    ids,
    kinds,
    events,
    ensured: () => ensured,
    stored: (count: number) =>
      new Promise<void>((resolve) => {
        wanted = count;
        enough = resolve;
        if (ids.length >= count) resolve();
      }),
    ensure: async () => {
      ensured += 1;
    },
    async *read(): AsyncGenerator<never> {},
    append: async (subject: string, payload: Uint8Array, id: string) => {
      if (failing > 0) {
        failing -= 1;
        throw failure;
      }
      if (payload.byteLength > 512) throw tooLarge;
      ids.push(id);
      const event = decode('event', payload, eventSchema);
      events.push(event);
      kinds.push(`${subject} ${event.kind}`);
      if (ids.length >= wanted) enough();
    },
  };
}

function trailOn(
  stream: Pick<ReturnType<typeof fakeStream>, 'ensure' | 'append' | 'read'>,
  waitingMax?: number,
  onFailure: (cause: unknown) => void = () => expect.unreachable(),
): AuditTrail {
  return new AuditTrail({
    subjects: subjectsOf('d'),
    stream,
    logger: createLogger({ name: 'test', level: 'silent' }),
    writer: 'w',
    onFailure,
    retryMs: 1,
    answerBytesMax: 1_024,
    eventBytesMax: 512,
    ...(waitingMax === undefined ? {} : { waitingMax }),
  });
}

describe('the audit trail', () => {
  it('stores events in their order, each under an id of its own', async () => {
    const stream = fakeStream(0);
    const trail = trailOn(stream);
    for (const kind of ['plan', 'decided', 'alarm']) trail.tell(kind, { version: 1 });
    await trail.stop(10_000);
    expect(stream.kinds).toEqual([
      'isobar.v1.d.event.plan plan',
      'isobar.v1.d.event.decided decided',
      'isobar.v1.d.event.alarm alarm',
    ]);
    expect(stream.ids).toEqual(['w.1', 'w.2', 'w.3']);
    expect(trail.dropped).toBe(0);
  });

  it('tries again under the same id, and makes the stream anew, until it is stored', async () => {
    const stream = fakeStream(3);
    const trail = trailOn(stream);
    trail.tell('plan', {});
    await stream.stored(1);
    expect(stream.ids).toEqual(['w.1']);
    expect(stream.ensured()).toBe(4);
    await trail.stop(10_000);
  });

  it('tells of a failure that is not known, and stops all the same', async () => {
    const cause = new TypeError('not one of the bus');
    const stream = { ...fakeStream(0), append: () => Promise.reject(cause) };
    const told: unknown[] = [];
    const trail = trailOn(stream, 4, (failure) => told.push(failure));
    trail.tell('plan', {});
    await trail.stop(10_000);
    expect(told).toEqual([cause]);
  });

  it('stores events also while nobody answers for the limits of the stream', async () => {
    const stream = fakeStream(1);
    const ensure = async () => {
      throw failure;
    };
    const trail = trailOn({ ...stream, ensure });
    trail.tell('plan', {});
    trail.tell('decided', {});
    await trail.stop(1_000);
    expect(stream.ids).toEqual(['w.1', 'w.2']);
    expect(trail.dropped).toBe(0);
  });

  it('holds no more than its limit, and says how many it lost', async () => {
    const stream = fakeStream(1);
    const trail = trailOn(stream, 2);
    for (let told = 0; told < 5; told += 1) trail.tell('plan', { told });
    await stream.stored(2);
    await trail.stop(10_000);
    expect(trail.dropped).toBe(3);
  });

  it('stores the kind and size of an event that is too large, and those behind it', async () => {
    const stream = fakeStream(0);
    const trail = trailOn(stream);
    trail.tell('alarm', { members: 'x'.repeat(1_000) });
    trail.tell('decided', { version: 1 });
    await stream.stored(2);
    await trail.stop(10_000);
    expect(stream.events[0]).toMatchObject({ kind: 'alarm', omittedBytes: expect.any(Number) });
    expect(stream.events[1]).toMatchObject({ kind: 'decided', version: 1 });
  });

  it('tells of the events that it had no room for', async () => {
    const stream = fakeStream(1);
    const trail = trailOn(stream, 2);
    for (let told = 0; told < 5; told += 1) trail.tell('plan', { told });
    await stream.stored(2);
    trail.tell('decided', {});
    await stream.stored(4);
    await trail.stop(10_000);
    expect(stream.events.slice(2)).toMatchObject([
      { kind: 'events-dropped', events: 3 },
      { kind: 'decided' },
    ]);
  });

  it('gives up at its deadline where the store takes nothing', async () => {
    const stream = fakeStream(Number.POSITIVE_INFINITY);
    const trail = trailOn(stream);
    trail.tell('plan', {});
    await trail.stop(5);
    expect(stream.ids).toEqual([]);
    expect(trail.dropped).toBe(1);
  });
});

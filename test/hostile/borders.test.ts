import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EngineClient, encodeFrame, parseEngineAddress, portVersions } from '@isobar/engine';
import {
  auditEventSchema,
  controlRecordSchema,
  decode,
  decodeMapRecord,
  decodeProposal,
  type EngineDescription,
  emptyDurableRankState,
  encode,
  encodeMapRecord,
  type Fence,
  IsobarError,
  leaderRecordSchema,
  wholeMapping,
} from '@isobar/protocol';
import { DurableStateFile, ProcessWitness } from '@isobar/rank-agent';
import { readTrace } from '@isobar/trace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostileMessages, messagesInAll } from './fuzz-settings.js';
import { ImaginedEngine, startMapping } from './imagined-engine.js';

const fence: Fence = { term: 3, nonce: 'a'.repeat(16) };
const members = [0, 1, 2].map((rank) => ({ rank, incarnation: String(rank + 1).repeat(16) }));
const base = { version: 0, digest: startMapping.digest() };
const committed = encodeMapRecord({
  schema: 1,
  outcome: 'committed',
  version: 1,
  fence,
  change: 'start',
  reason: 'the first',
  base,
  digest: startMapping.digest(),
  mapping: wholeMapping(startMapping),
  members,
  voided: [],
});
const voided = encodeMapRecord({ schema: 1, outcome: 'void', version: 2, fence, reason: 'late' });
const proposal = encode({
  schema: 1,
  version: 2,
  base: { version: 1, digest: base.digest },
  digest: base.digest,
  members,
  voided: [],
  change: 'rebalance',
  reason: 'better',
  layers: Int32Array.of(0),
  rows: startMapping.physicalToLogical.slice(0, 9),
  transfers: Int32Array.of(0, 0, 1, 0, -1),
});
const control = encode({ schema: 1, fence, mode: 'observe', paused: false, held: null });
const leader = encode({ schema: 1, holder: 'one', fence, renewals: 4 });
const event = encode({ schema: 1, at: 1, kind: 'leading', holder: 'one', term: 3 });

/** What is read of bytes that others wrote, apart from messages: an IsobarError, or a value. */
const readers: Record<string, readonly [(bytes: Uint8Array) => unknown, readonly Uint8Array[]]> = {
  'map record': [decodeMapRecord, [committed, voided]],
  proposal: [decodeProposal, [proposal]],
  'control record': [(bytes) => decode('control', bytes, controlRecordSchema), [control]],
  'leader record': [(bytes) => decode('leader', bytes, leaderRecordSchema), [leader]],
  event: [(bytes) => decode('event', bytes, auditEventSchema), [event]],
};
const perReader = Math.ceil(messagesInAll / 20);

const identity = { deployment: 'fuzz', rank: 1, agent: 'a'.repeat(16) };
const greeting = encodeFrame(encode({ schema: 1, kind: 'greeting', ...identity, portVersions }));

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-borders-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('hostile bytes', () => {
  it.each(Object.keys(readers))('in place of a %s are refused with a code, or read', (name) => {
    const [read, valid] = readers[name] ?? [() => undefined, []];
    let refused = 0;
    for (const bytes of hostileMessages(name, valid, perReader)) {
      try {
        read(bytes);
      } catch (error) {
        if (!(error instanceof IsobarError)) throw error;
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(perReader / 2);
  });

  it("in place of an agent's state keep it from starting, or are read; nothing is taken for no state", async () => {
    const options = { directory, deployment: 'fuzz', rank: 1, witness: new ProcessWitness() };
    const file = await DurableStateFile.open(options);
    await file.save({ ...emptyDurableRankState, fence });
    const path = join(directory, 'fuzz-1.state');
    const valid = new Uint8Array(await readFile(path));
    const code = 'ISOBAR_AGENT_STATE';
    for (const bytes of hostileMessages('agent state', [valid], 300)) {
      await writeFile(path, bytes);
      const failure = await file.load().then(
        () => null,
        (error: unknown) => error,
      );
      if (failure !== null) expect(failure).toMatchObject({ code });
    }
    for (const length of [0, 1, valid.length - 1]) {
      await writeFile(path, valid.subarray(0, length));
      await expect(file.load()).rejects.toMatchObject({ code });
    }
    await file.close();
  });

  it('in place of a trace are refused with a code, or read', async () => {
    const path = join(directory, 'trace.jsonl');
    const lines = Buffer.from('{"kind":"isobar-trace","version":1,"layers":2,"experts":4}\n');
    for (const bytes of hostileMessages('trace', [new Uint8Array(encode({ lines }))], 200)) {
      await writeFile(path, Buffer.concat([lines, bytes]));
      const failure = await readTrace(path).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: expect.stringMatching(/^ISOBAR_/) });
    }
  });

  it("at an engine's port end the connection, and the engine serves the next agent", async () => {
    const address = `unix:${join(directory, 'engine.sock')}`;
    const engine = await ImaginedEngine.listen('fuzz', 1, address);
    const command = { kind: 'stage', fence, proposal };
    const valid = [
      encode({ schema: 1, id: 1, command }),
      encode({ schema: 1, id: 2, command: { kind: 'query', fence } }),
      encode({ schema: 1, id: 3, command: { kind: 'activate', fence, record: committed } }),
    ];
    const before = engine.mapping.digest();
    let sent = 0;
    for (const bytes of hostileMessages('engine port', valid, 400)) {
      sent += 1;
      // A head that lies about what follows, every third time.
      const lie = Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff]), bytes]);
      const frame = sent % 3 === 0 ? lie : encodeFrame(bytes);
      // Before a greeting, every fifth time: who does not say who it is.
      await write(address, sent % 5 === 0 ? frame : Buffer.concat([greeting, frame]));
    }
    expect(engine.mapping.digest()).toBe(before);
    const { incarnation } = await helloOf(address);
    expect(incarnation).toBe('2'.repeat(16));
    await engine.close();
  });
});

/** Resolves once either side has ended the connection. */
function write(address: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(parseEngineAddress(address), () => socket.end(bytes));
    socket.resume();
    // That the engine ends the connection is what is expected of it.
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
  });
}

/** What the engine tells an agent that connects. */
function helloOf(address: string): Promise<EngineDescription> {
  return new Promise((resolve) => {
    const ignore = () => undefined;
    const client = new EngineClient({
      address: parseEngineAddress(address),
      identity,
      onHello: ({ description }) => {
        client.stop();
        resolve(description);
      },
      onLoad: ignore,
      onProgress: ignore,
      onActivated: ignore,
      onChanged: ignore,
      onReplaced: ignore,
      onRefused: ignore,
      onLost: ignore,
      onError: ignore,
    });
    client.start();
  });
}

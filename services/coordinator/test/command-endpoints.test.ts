import { type CommandEvent, type CommandHandlers, commandEndpoints } from '@isobar/coordinator';
import { type ChangeAnswer, IsobarError, type MappingAnswer } from '@isobar/protocol';
import { decode } from '@msgpack/msgpack';
import { describe, expect, it } from 'vitest';

const account = 'isobar.d.operators';
const words = [JSON.stringify({ acc: account, user: 'alice', host: '10.0.0.1' })];
const requester = { verified: true, account, user: 'alice', host: '10.0.0.1' };
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

const answer: ChangeAnswer = {
  requestId: 'one',
  command: 'rollback',
  dryRun: false,
  state: 'done',
  outcome: 'committed',
  reason: '',
  code: null,
  baseVersion: 1,
  version: 2,
  effect: null,
  plan: null,
  control: {
    mode: 'observe',
    paused: false,
    held: null,
    drained: [],
    slotLimits: [],
    dead: [],
    parameters: {},
  },
};
const mapping: MappingAnswer = {
  version: 1,
  digest: '0'.repeat(64),
  modelLayerIds: [0],
  numLogicalExperts: 1,
  slotOffsets: [0, 1],
  physicalToLogical: [[0]],
};

interface Served {
  readonly vouchedAccount?: string | null;
  readonly isHolder?: boolean;
}

function serve(handlers: Partial<CommandHandlers>, given: Served = {}) {
  const events: CommandEvent[] = [];
  const refusedCodes: string[] = [];
  const { vouchedAccount = account, isHolder = true } = given;
  const endpoints = commandEndpoints({
    handlers: new Proxy({} as CommandHandlers, {
      get: (_, name) => Reflect.get(handlers, name) ?? expect.unreachable(String(name)),
    }),
    isHolder: () => isHolder,
    vouchedAccount,
    tell: (event) => events.push(event),
    onRefused: ({ code }) => refusedCodes.push(code),
  });
  const ask = async (name: string, body: Uint8Array, information = words) =>
    endpoints.find((endpoint) => endpoint.name === name)?.handle(body, information);
  return { events, endpoints, ask, refusedCodes };
}

describe('command endpoints', () => {
  it('hand on a question that was checked, and who asks, and answer as they were asked', async () => {
    const asked: unknown[] = [];
    const { ask } = serve({
      rollback: (...given) => {
        asked.push(given);
        return answer;
      },
    });
    const question = { version: 3, dryRun: false, waitMs: 2_000 };
    const told = await ask('rollback', json({ version: 3 }));
    expect(JSON.parse(new TextDecoder().decode(told ?? undefined))).toEqual(answer);
    const packed = await ask(
      'rollback',
      Uint8Array.of(0x81, 0xa7, ...json('version').slice(1, -1), 3),
    );
    expect(decode(packed ?? new Uint8Array(0))).toEqual(answer);
    expect(asked).toEqual([
      [question, requester],
      [question, requester],
    ]);
  });

  it('tell what was done, refused or only asked of a change, and by whom', async () => {
    const { ask, events } = serve({
      rollback: ({ dryRun }) => ({ ...answer, dryRun, requestId: dryRun ? null : 'one' }),
      drain: () => {
        throw new IsobarError('ISOBAR_COORDINATOR_PAUSED', 'paused');
      },
    });
    await ask('rollback', json({ version: 3 }));
    await ask('rollback', json({ version: 3, dryRun: true }));
    const code = 'ISOBAR_COORDINATOR_PAUSED';
    await expect(ask('drain', json({ rank: 1 }))).rejects.toMatchObject({ code });
    const malformed = 'ISOBAR_COORDINATOR_COMMAND_MALFORMED';
    await expect(ask('drain', json({}))).rejects.toMatchObject({ code: malformed });
    const by = { requester, code: null };
    expect(events).toEqual([
      { command: 'rollback', ...by, outcome: 'done', requestId: 'one' },
      { command: 'rollback', ...by, outcome: 'dry-run', requestId: null },
      { command: 'drain', requester, code, outcome: 'refused', requestId: null },
      { command: 'drain', requester, code: malformed, outcome: 'refused', requestId: null },
    ]);
  });

  it('tell nothing of what changes nothing, or is left to the process that leads', async () => {
    const read = serve({ export: () => mapping });
    await read.ask('export', new Uint8Array(0));
    const left = serve({}, { isHolder: false });
    expect(await left.ask('pause', json({}))).toBeNull();
    expect([...read.events, ...left.events]).toEqual([]);
  });

  it('do nothing that the server does not vouch for, unless nothing could', async () => {
    const code = 'ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED';
    const vouched = serve({});
    await expect(vouched.ask('pause', json({}), [])).rejects.toMatchObject({ code });
    expect(vouched.refusedCodes).toEqual([code]);
    const open = serve({ pause: () => answer }, { vouchedAccount: null });
    await open.ask('pause', json({}), []);
    expect(open.events).toMatchObject([{ requester: { verified: false, user: null } }]);
  });
});

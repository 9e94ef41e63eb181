import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeFrame, frameBytesMax } from '@isobar/engine';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RawAgent } from '../../packages/engine/test/raw-agent.js';
import { EngineGroup, fence } from './engine-group.js';

let group: EngineGroup;
const raw: RawAgent[] = [];

beforeEach(async () => {
  group = await EngineGroup.serving({ numRanks: 2, activation: 'two-table' });
});

afterEach(async () => {
  for (const agent of raw.splice(0)) agent.close();
  await group.close();
});

async function dial(rank: number): Promise<RawAgent> {
  const agent = await RawAgent.connect(join(group.directory, 'sockets', `engine-${rank}.sock`));
  raw.push(agent);
  return agent;
}

/** Codes of what the engine has logged of its port. */
async function logged(rank: number): Promise<string[]> {
  const lines = (await readFile(group.logPath(rank), 'utf8')).trim().split('\n');
  const entries = lines.map((line) => JSON.parse(line));
  return entries.filter(({ msg }) => msg === 'engine port').map(({ err }) => err.code);
}

it('an engine refuses every stranger, says why, and serves its agent on', async () => {
  const strangers: readonly (readonly [string, (agent: RawAgent) => void])[] = [
    ['ISOBAR_ENGINE_WRONG_AGENT', (agent) => agent.greet({ deployment: 'west' })],
    ['ISOBAR_ENGINE_WRONG_AGENT', (agent) => agent.greet({ rank: 1 })],
    ['ISOBAR_ENGINE_PORT_VERSION', (agent) => agent.greet({ portVersions: [7, 9] })],
    ['ISOBAR_PROTOCOL_MALFORMED', (agent) => agent.write(encodeFrame(Buffer.from('GET / HTTP')))],
    ['ISOBAR_ENGINE_FRAME_TOO_LARGE', (agent) => agent.write(Buffer.from('GET / HTTP/1.1\r\n'))],
    [
      'ISOBAR_ENGINE_FRAME_TOO_LARGE',
      (agent) => agent.write(encodeFrame(new Uint8Array(frameBytesMax))),
    ],
    // Silence.
    ['ISOBAR_ENGINE_TIMEOUT', () => undefined],
  ];
  const refusals = await Promise.all(
    strangers.map(async ([, speak]) => {
      const agent = await dial(0);
      speak(agent);
      return agent.ended();
    }),
  );
  expect(refusals).toMatchObject(strangers.map(([code]) => [{ kind: 'refused', code }]));
  expect(new Set(await logged(0))).toEqual(new Set(strangers.map(([code]) => code)));
  const state = await group.engine(0).order({ kind: 'query', fence });
  expect(state.fence).toEqual(fence);
  expect(await logged(1)).toEqual([]);
});

it('of two agents whose greetings cross the newest connected wins, and the other is told', async () => {
  const [older, newer] = [await dial(0), await dial(0)];
  newer.greet({ agent: 'b'.repeat(16) });
  await newer.hears('hello');
  older.greet();
  expect(await older.ended()).toEqual([{ schema: 1, kind: 'replaced', by: 'b'.repeat(16) }]);
  newer.say({ id: 1, command: { kind: 'query', fence } });
  expect(await newer.hears('result')).toMatchObject({ ok: true });
});

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  type DurableRankState,
  emptyDurableRankState,
  encode,
  encodeMapRecord,
  type VoidRecord,
} from '@isobar/protocol';
import { DurableStateFile, ProcessWitness } from '@isobar/rank-agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const fence = { term: 3, nonce: '0123456789abcdef' };
const voided: VoidRecord = { schema: 1, outcome: 'void', version: 8, fence, reason: 'test' };
const scope = 'boot pid:[1] time:[1]';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-state-'));
});

afterEach(() => rm(directory, { recursive: true }));

function fileOf(state: DurableRankState): Uint8Array {
  const content = encode(state);
  const checksum = createHash('sha256').update(content).digest();
  return encode({ schema: 1, format: 3, checksum, content });
}

function open(rank: number): Promise<DurableStateFile> {
  const witness = new ProcessWitness();
  return DurableStateFile.open({ directory, deployment: 'east', rank, witness });
}

describe('what an agent keeps across restarts (rules S3, S6)', () => {
  it('is empty where nothing was saved', async () => {
    expect(await (await open(0)).load()).toEqual(emptyDurableRankState);
  });

  it('comes back as it was saved, for that rank alone', async () => {
    const state = {
      ...emptyDurableRankState,
      fence,
      votedUpTo: 9,
      outcomes: [
        { version: 8, outcome: 'void' as const, record: Buffer.from(encodeMapRecord(voided)) },
      ],
      exited: ['1'.repeat(16)],
      cuts: [{ rank: 2, incarnation: '2'.repeat(16) }],
      witnessed: [
        { incarnation: '3'.repeat(16), process: { processId: 7, startTicks: '70', scope } },
      ],
    };
    const [own, other] = await Promise.all([open(1), open(2)]);
    await own.save(state);
    await own.close();
    const again = await open(1);
    expect(await again.load()).toEqual(state);
    expect(await other.load()).toEqual(emptyDurableRankState);
    await Promise.all([again.close(), other.close()]);
    expect(await readdir(directory)).toEqual(['east-1.state']);
  });

  const record = Buffer.of(1, 2);
  it.each([
    ['rubbish', 'rubbish', /agent state/],
    [
      'a file of an older version',
      encode({ schema: 1, fence, votedUpTo: 9, vote: null, outcomes: [] }),
      /format.* another version of Isobar wrote the file/,
    ],
    [
      'an outcome that is none',
      fileOf({
        ...emptyDurableRankState,
        outcomes: [{ version: 8, outcome: 'void', record }],
      }),
      /map record/,
    ],
  ])('is not taken for empty where it can not be read: %s', async (_, content, message) => {
    await writeFile(join(directory, 'east-0.state'), content);
    await expect((await open(0)).load()).rejects.toMatchObject({
      code: 'ISOBAR_AGENT_STATE',
      message: expect.stringMatching(message),
    });
  });

  it('is kept in a folder that is made for it', async () => {
    directory = join(directory, 'made', 'anew');
    const file = await open(0);
    await file.save({ ...emptyDurableRankState, votedUpTo: 5 });
    await file.close();
    expect(await readdir(directory)).toEqual(['east-0.state']);
    directory = dirname(dirname(directory));
  });

  it('is kept by one agent at a time', async () => {
    const first = await open(0);
    await expect(open(0)).rejects.toMatchObject({
      code: 'ISOBAR_AGENT_STATE_IN_USE',
      fields: { processId: process.pid },
    });
    await first.close();
    await (await open(0)).save(emptyDurableRankState);
  });

  it('is not written any more by one that has lost it', async () => {
    const paused = await open(0);
    await rm(join(directory, 'east-0.state.lock'));
    const next = await open(0);
    const promised = { ...emptyDurableRankState, votedUpTo: 5 };
    await next.save(promised);
    await expect(paused.save(emptyDurableRankState)).rejects.toMatchObject({
      code: 'ISOBAR_AGENT_STATE_IN_USE',
    });
    expect(await next.load()).toEqual(promised);
  });
});

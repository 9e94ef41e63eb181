import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyDurableRankState } from '@isobar/protocol';
import { DurableStateFile } from '@isobar/rank-agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-state-'));
});

afterEach(() => rm(directory, { recursive: true }));

describe('what an agent keeps across restarts (rules S3, S6)', () => {
  it('is empty where nothing was saved', async () => {
    expect(await new DurableStateFile(directory, 'east', 0).load()).toEqual(emptyDurableRankState);
  });

  it('comes back as it was saved, for that rank alone', async () => {
    const state = {
      ...emptyDurableRankState,
      fence: { term: 3, nonce: '0123456789abcdef' },
      votedUpTo: 9,
      outcomes: [{ version: 8, outcome: 'void' as const, record: Buffer.of(1, 2) }],
    };
    await new DurableStateFile(directory, 'east', 1).save(state);
    expect(await new DurableStateFile(directory, 'east', 1).load()).toEqual(state);
    expect(await new DurableStateFile(directory, 'east', 2).load()).toEqual(emptyDurableRankState);
    expect(await readdir(directory)).toEqual(['east-1.state']);
  });

  it('is not taken for empty where it can not be read', async () => {
    await writeFile(join(directory, 'east-0.state'), 'rubbish');
    await expect(new DurableStateFile(directory, 'east', 0).load()).rejects.toMatchObject({
      code: 'ISOBAR_AGENT_STATE',
    });
  });
});

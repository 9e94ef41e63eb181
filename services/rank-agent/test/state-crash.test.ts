import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DurableRankState, emptyDurableRankState } from '@isobar/protocol';
import { DurableStateFile, ProcessWitness } from '@isobar/rank-agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Crash, CrashingDisk, type DiskFaults } from './crashing-disk.js';

const file = 'east-0.state';
/** Nobody can be seen to hold a lock: it is stale once it is no longer touched. */
const blind = new ProcessWitness('/nonexistent');

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-crash-'));
});

afterEach(() => rm(directory, { recursive: true }));

function votedUpTo(version: number): DurableRankState {
  return { ...emptyDurableRankState, votedUpTo: version };
}

function open(disk: CrashingDisk): Promise<DurableStateFile> {
  const locking = { witness: blind, staleMs: 5, touchMs: 600_000 };
  return DurableStateFile.open({ directory, deployment: 'east', rank: 0, disk, ...locking });
}

async function saved(disk: CrashingDisk, versions: readonly number[]): Promise<void> {
  const opened = await open(disk);
  for (const version of versions) await opened.save(votedUpTo(version));
  await opened.close();
}

async function loaded(disk: CrashingDisk): Promise<number> {
  const opened = await open(disk);
  try {
    return (await opened.load()).votedUpTo;
  } finally {
    await opened.close();
  }
}

/**
 * Crashes the save of a state at each of its steps, in every way that the disk may be left.
 * @returns what was found afterwards, and whether the save had been acknowledged
 */
async function crashEverywhere(faults: DiskFaults, before: readonly number[], next: number) {
  const found: { readonly version: number; readonly isSaved: boolean }[] = [];
  for (let step = 0, isSaved = false; !isSaved; step += 1) {
    const disk = new CrashingDisk(faults);
    await saved(disk, before);
    const opened = await open(disk);
    disk.stepsLeft = step;
    isSaved = await opened.save(votedUpTo(next)).then(
      () => true,
      (error: unknown) => {
        expect(error).toMatchObject({ cause: expect.any(Crash) });
        return false;
      },
    );
    await opened.close();
    for (const left of disk.afterCrash()) {
      const version = await loaded(left).catch(() => Number.NaN);
      found.push({ version, isSaved });
      // And it goes on from there, with drafts left by the crash.
      await saved(left, [next + 1]);
      expect(await loaded(left)).toBe(next + 1);
    }
  }
  return found;
}

describe('a crash amid the saving of a state', () => {
  it.each([
    ['the first', [], 1],
    ['one after others', [1, 2], 3],
  ])('of %s leaves the one before or the new one', async (_, before, next) => {
    const found = await crashEverywhere({}, before, next);
    const last = before.at(-1) ?? 0;
    expect(found.length).toBeGreaterThan(20);
    expect(new Set(found.map(({ version }) => version))).toEqual(new Set([last, next]));
    const acknowledged = found.filter(({ isSaved }) => isSaved);
    expect(new Set(acknowledged.map(({ version }) => version))).toEqual(new Set([next]));
  });

  it.each(['files', 'folders'] as const)(
    'is seen to go wrong where %s are not synced',
    async (lies) => {
      const found = await crashEverywhere({ lies }, [1], 2).catch(() => null);
      const isSound = found?.every(({ version, isSaved }) =>
        isSaved ? version === 2 : version === 1 || version === 2,
      );
      expect(isSound ?? false).toBe(false);
    },
  );
});

describe('a state file', () => {
  it.each([
    ['is empty', () => new Uint8Array(0), /the file is empty/],
    ['is cut off', (bytes: Uint8Array) => bytes.slice(0, -1), /well-formed/],
    [
      'has changed by a bit',
      (bytes: Uint8Array) => bytes.map((byte, at) => (at === bytes.length - 3 ? byte ^ 1 : byte)),
      /damaged|well-formed/,
    ],
  ])('that %s is refused, though a draft lies beside it', async (_, change, message) => {
    const disk = new CrashingDisk();
    await saved(disk, [1]);
    disk.damage(file, change);
    await disk.create(join(directory, `${file}.${'0'.repeat(16)}.new`), Uint8Array.of(1));
    const opened = await open(disk);
    await expect(opened.load()).rejects.toMatchObject({
      code: 'ISOBAR_AGENT_STATE',
      message: expect.stringMatching(message),
      fields: { path: join(directory, file) },
    });
    expect(disk.names).toEqual([file]);
  });

  it('whose every bit may change is never misread', async () => {
    const disk = new CrashingDisk();
    await saved(disk, [7]);
    const whole = await disk.read(file);
    const opened = await open(disk);
    for (let bit = 0; bit < 8 * (whole?.length ?? 0); bit += 1) {
      disk.damage(file, () =>
        Uint8Array.from(whole ?? [], (byte, at) =>
          at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte,
        ),
      );
      // Some bits mean nothing to a reader; those that do are seen.
      const state = await opened.load().catch(() => null);
      if (state !== null) expect(state).toEqual(votedUpTo(7));
    }
  });

  it('stays as it was where the disk is full, and is written once it is not', async () => {
    const disk = new CrashingDisk();
    await saved(disk, [1]);
    const opened = await open(disk);
    for (const bytesMax of [0, 1, 40]) {
      disk.bytesMax = bytesMax;
      await expect(opened.save(votedUpTo(2))).rejects.toMatchObject({
        code: 'ISOBAR_AGENT_DISK_FULL',
      });
      expect((await opened.load()).votedUpTo).toBe(1);
    }
    disk.bytesMax = Number.POSITIVE_INFINITY;
    await opened.save(votedUpTo(2));
    expect((await opened.load()).votedUpTo).toBe(2);
    expect(disk.names).toEqual([file]);
  });

  it('is not replaced by one that was paused amid a save while another took over', async () => {
    const disk = new CrashingDisk();
    const paused = await open(disk);
    let next: DurableStateFile | null = null;
    disk.beforeRename = async () => {
      disk.beforeRename = () => Promise.resolve();
      // Nobody can be seen to hold it, and it is no longer touched.
      next = await open(disk);
      await next.save(votedUpTo(3));
    };
    await expect(paused.save(votedUpTo(2))).rejects.toMatchObject({ code: 'ISOBAR_AGENT_STATE' });
    expect(await loaded(disk)).toBe(3);
  });
});

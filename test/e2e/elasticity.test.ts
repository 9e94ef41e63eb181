import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { runIsobar } from './run-isobar.js';
import { noTokenWrong, SmallCluster, type SmallClusterOptions } from './small-cluster.js';

const stopDeadlineMs = 60_000;
const patience = { timeout: 60_000, interval: 200 };
/** Of four ranks with six slots each. */
const ownSlots = 6;

let running: SmallCluster | null = null;

async function start(options: SmallClusterOptions): Promise<SmallCluster> {
  running = await SmallCluster.start(options);
  await running.committed(1);
  return running;
}

afterEach(async () => {
  await running?.close();
  running = null;
});

function isobar(small: SmallCluster, ...args: string[]) {
  return runIsobar('--server', small.cluster.natsUrl, '--deployment', 'demo', ...args);
}

async function members(small: SmallCluster): Promise<number[]> {
  const { ranks } = await small.status();
  return ranks.filter(({ member }) => member !== null).map(({ rank }) => rank);
}

const exportSchema = z.looseObject({ physicalToLogical: z.array(z.array(z.number())) });

/** Experts of a rank's slots from `first` on, over all layers. */
async function held(small: SmallCluster, rank: number, first = 0): Promise<number[]> {
  const { stdout } = await isobar(small, 'export');
  const { physicalToLogical } = exportSchema.parse(JSON.parse(stdout));
  const rows = physicalToLogical.map((row) => row.slice(rank * ownSlots, (rank + 1) * ownSlots));
  return rows.flatMap((row) => row.slice(first)).filter((expert) => expert >= 0);
}

const commandSchema = z.looseObject({
  kind: z.literal('command'),
  command: z.string(),
  requester: z.looseObject({ user: z.string().nullable() }),
});

/** Who has asked for leaves. */
function leavers(small: SmallCluster): (string | null)[] {
  const told = small.events.flatMap((event) => commandSchema.safeParse(event).data ?? []);
  return told.filter(({ command }) => command === 'leave').map(({ requester }) => requester.user);
}

describe.each(['two-table', 'in-place'] as const)('a rank that is stopped, %s', (activation) => {
  it('leaves first, and returns by itself, without a token lost', async () => {
    const small = await start({
      activation,
      coordinator: { mode: 'observe' },
      agent: { leaveOnStop: true, reportIntervalMs: 200 },
      engineOfRank: (rank) => ({ leaveOnStop: rank === 3 }),
    });
    // The engine is asked to stop, and has its agent see to it.
    expect(await small.cluster.process('engine-3').stop(stopDeadlineMs)).toBe(0);
    expect(await members(small)).toEqual([0, 1, 2]);
    expect(leavers(small)).toEqual(['agent-3']);
    await small.stepsServed(0, 20);
    await small.cluster.startEngine(3);
    await vi.waitFor(async () => expect(await members(small)).toEqual([0, 1, 2, 3]), patience);

    // What an operator has drained stays so, though the rank has left and returned.
    await isobar(small, 'drain', '3', '--yes', '--wait', '30s');
    expect(await small.cluster.process('agent-3').stop(stopDeadlineMs)).toBe(0);
    expect(await members(small)).toEqual([0, 1, 2]);
    expect(await small.cluster.process('engine-3').stop(stopDeadlineMs)).toBe(0);
    await small.stepsServed(0, 20);
    await Promise.all([small.cluster.startEngine(3), small.cluster.startAgent(3)]);
    await vi.waitFor(async () => expect(await members(small)).toEqual([0, 1, 2, 3]), patience);
    expect((await small.status()).drained).toEqual([3]);
    expect(await held(small, 3)).toEqual([]);
    expect((await isobar(small, 'undrain', '3', '--yes')).code).toBe(0);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });
});

describe.each(['two-table', 'in-place'] as const)(
  'an engine and its agent that are stopped at once, %s',
  (activation) => {
    it('leave together, both end clean, and no token is lost', async () => {
      const small = await start({
        activation,
        coordinator: { mode: 'observe' },
        agent: { leaveOnStop: true, reportIntervalMs: 200 },
        engineOfRank: (rank) => ({ leaveOnStop: rank === 3 }),
      });
      const both = ['engine-3', 'agent-3'].map((name) => small.cluster.process(name));
      expect(await Promise.all(both.map((one) => one.stop(stopDeadlineMs)))).toEqual([0, 0]);
      expect(await members(small)).toEqual([0, 1, 2]);
      await small.stepsServed(0, 20);
      expect(await small.conclude()).toMatchObject(noTokenWrong);
    });
  },
);

describe('an agent that is stopped', () => {
  it('stops after all where the others could not hold what it has', async () => {
    const small = await start({
      coordinator: { mode: 'observe' },
      agent: { leaveOnStop: true, leaveDeadlineMs: 3_000, reportIntervalMs: 200 },
    });
    expect((await isobar(small, 'drain', '2', '--yes', '--wait', '30s')).code).toBe(0);
    expect(await small.cluster.process('agent-3').stop(stopDeadlineMs)).toBe(0);
    expect(await members(small)).toEqual([0, 1, 2, 3]);
    await small.cluster.startAgent(3);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });
});

describe.each(['two-table', 'in-place'] as const)('an engine’s offer, %s', (activation) => {
  it('shrinks under traffic, and grows back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'isobar-offer-'));
    const offeredSlotsFile = join(folder, 'slots');
    const offer = async (slots: number) => {
      await writeFile(offeredSlotsFile, `${slots}\n`);
      running?.cluster.process('engine-1').signal('SIGUSR2');
    };
    try {
      await offer(ownSlots);
      const small = await start({
        activation,
        agent: { reportIntervalMs: 200 },
        engineOfRank: (rank) => (rank === 1 ? { offeredSlotsFile } : {}),
      });
      await small.committed(2);
      await offer(4);
      await vi.waitFor(async () => {
        expect((await small.status()).ranks[1]?.slots).toEqual({
          own: ownSlots,
          offered: 4,
          limit: null,
        });
        expect(await held(small, 1, 4)).toEqual([]);
      }, patience);
      // Balancing goes on without them.
      const { version } = (await small.status()).mapping;
      await small.stepsServed(1, 20);
      expect(await held(small, 1, 4)).toEqual([]);

      await offer(ownSlots);
      await vi.waitFor(async () => {
        expect((await small.status()).ranks[1]?.slots.offered).toBe(ownSlots);
      }, patience);
      // The start's mapping uses them all; a version of balancing's own may come before it.
      await vi.waitFor(async () => {
        const back = await isobar(small, 'rollback', '1', '--yes', '--wait', '30s');
        expect(back).toMatchObject({ code: 0 });
      }, patience);
      expect(await held(small, 1, 4)).toHaveLength(8);
      const report = await small.conclude();
      expect(report).toMatchObject(noTokenWrong);
      expect(report.mappingVersion).toBeGreaterThan(version);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('isobar offer', () => {
  it('limits the slots of a rank, as far as all experts have a place', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    const offer = (rank: string, slots: string, ...more: string[]) =>
      isobar(small, 'offer', '--rank', rank, '--slots', slots, '--yes', '--wait', '30s', ...more);
    const wouldBe = await offer('2', '4', '--dry-run');
    expect(wouldBe.stdout).toContain('would be done');
    expect(await held(small, 2, 4)).toHaveLength(8);
    const limited = await offer('2', '4');
    expect(limited).toMatchObject({ code: 0 });
    expect(limited.stdout).toContain('limited: rank 2 to 4 slots');
    expect(await held(small, 2, 4)).toEqual([]);
    expect((await offer('3', '0')).code).toBe(0);
    expect(await held(small, 3)).toEqual([]);
    const tooFew = await offer('1', '5', '--dry-run');
    expect(tooFew.stdout).toContain('ISOBAR_COORDINATOR_DEGRADED');
    expect((await offer('3', 'all')).stdout).not.toContain('rank 3');
    expect((await offer('2', 'all')).stdout).not.toContain('limited');
    expect((await small.status()).ranks[2]?.slots.limit).toBeNull();
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });
});

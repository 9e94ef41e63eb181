import { softwareVersion } from '@isobar/protocol';
import type { ServiceScripts } from '@isobar/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { installedIsobar, installedScripts } from '../e2e/installed.js';
import { startNode } from '../e2e/run-isobar.js';
import { noTokenWrong, SmallCluster } from '../e2e/small-cluster.js';
import {
  buildPreviousRelease,
  hasPreviousRelease,
  previousRelease,
  type Release,
} from './previous-release.js';

/*
 * Real processes of two neighbouring releases at work together. What their messages look like one by
 * one is in messages.test.ts.
 */

const ranks = [0, 1, 2, 3];
const coordinators = ['coordinator-0', 'coordinator-1'];
const stopDeadlineMs = 60_000;
const patience = { timeout: 60_000, interval: 200 };
const shortLease = { leaseMs: 3_000, renewDeadlineMs: 2_000, renewMs: 800, retryMs: 400 };

const isThere = await hasPreviousRelease();
if (!isThere) {
  process.stderr.write(
    `skipped: upgrades from ${previousRelease.version}, since this copy has no history of git\n`,
  );
}

let running: SmallCluster | null = null;

afterEach(async () => {
  await running?.close();
  running = null;
});

async function start(
  scripts: ServiceScripts,
  activation: 'two-table' | 'in-place',
  mode: 'automatic' | 'observe' = 'automatic',
) {
  const small = await SmallCluster.start({
    scripts,
    activation,
    numCoordinators: 2,
    coordinator: { ...shortLease, mode },
    agent: { reportIntervalMs: 200 },
  });
  running = small;
  await small.committed(mode === 'automatic' ? 2 : 1);
  return small;
}

/** Ends one process and starts it again, of whichever release is in use. */
async function replace({ cluster }: SmallCluster, name: string): Promise<void> {
  expect(await cluster.process(name).stop(stopDeadlineMs)).toBe(0);
  await cluster.restart(name);
}

/** A swap that began now is committed, with every rank in it. */
async function swapped(small: SmallCluster): Promise<void> {
  const { mapping } = await small.status();
  await small.committed(mapping.version + 1);
}

/** What a command prints that succeeds. */
async function done(script: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await startNode(script, ...args).ended;
  if (code !== 0) throw new Error(`${script} ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}

/** The standby first: the leader then gives its lease to one that is new already. */
async function replaceCoordinators(small: SmallCluster): Promise<void> {
  const { leader } = await small.status();
  for (const name of coordinators.filter((each) => each !== leader.holder)) {
    await replace(small, name);
  }
  await replace(small, leader.holder);
  await small.ledUnder(leader.term + 1);
}

async function replaceAgents(small: SmallCluster): Promise<void> {
  for (const rank of ranks) {
    await replace(small, `agent-${rank}`);
    await vi.waitFor(async () => {
      const { engineConnected } = (await small.status()).ranks[rank] ?? {};
      expect(engineConnected).toBe(true);
    }, patience);
    await swapped(small);
  }
}

/** Each leaves first: its experts move away, and come back. */
async function replaceEngines(small: SmallCluster): Promise<void> {
  for (const rank of ranks) {
    const where = ['--server', small.cluster.natsUrl, '--deployment', 'demo'];
    const leave = ['leave', `${rank}`, '--yes', '--wait', '60s'];
    await done(installedIsobar, ...where, ...leave);
    expect(await small.cluster.process(`engine-${rank}`).stop(stopDeadlineMs)).toBe(0);
    await small.cluster.restart(`engine-${rank}`);
    await vi.waitFor(async () => {
      const { member } = (await small.status()).ranks[rank] ?? {};
      expect(member).not.toBeNull();
    }, patience);
  }
}

/** The leader and every agent say that they run this software. */
async function run(small: SmallCluster, software: string): Promise<void> {
  await vi.waitFor(async () => {
    const { leader, ranks: each } = await small.status();
    const told = [leader.software, ...each.map((rank) => rank.software)];
    expect(new Set(told)).toEqual(new Set([software]));
  }, patience);
}

async function ends(small: SmallCluster): Promise<void> {
  const report = await small.conclude();
  expect(report).toMatchObject(noTokenWrong);
  expect(new Set(report.mappingVersionByRank).size).toBe(1);
}

describe.skipIf(!isThere)(`an upgrade from ${previousRelease.version}`, () => {
  let before: Release;

  beforeAll(async () => {
    before = await buildPreviousRelease();
  });

  it.each(['two-table', 'in-place'] as const)(
    'goes one by one under traffic: coordinators, agents, engines; no token is lost, %s',
    async (activation) => {
      const small = await start(before.scripts, activation);
      await run(small, previousRelease.version);
      small.cluster.useScripts(installedScripts);
      await replaceCoordinators(small);
      await swapped(small);
      await replaceAgents(small);
      await run(small, softwareVersion);
      await replaceEngines(small);
      await swapped(small);
      await ends(small);
    },
  );

  it('can go back: coordinators and agents, over the records and files of the new release', async () => {
    const small = await start(installedScripts, 'two-table');
    small.cluster.useScripts(before.scripts);
    await replaceAgents(small);
    await replaceCoordinators(small);
    await run(small, previousRelease.version);
    await swapped(small);
    await ends(small);
  });

  it('may begin anywhere: either command line steers either coordinator', async () => {
    // 0.1.0 refuses a drain that a rebalance came before.
    const small = await start(before.scripts, 'two-table', 'observe');
    const where = ['--server', small.cluster.natsUrl, '--deployment', 'demo'];
    const isobar = (script: string, ...args: string[]) => done(script, ...where, ...args);
    for (const _release of ['before', 'now']) {
      for (const script of [before.isobar, installedIsobar]) {
        const status = JSON.parse(await isobar(script, 'status', '--json'));
        expect(status).toMatchObject({ mode: 'observe' });
        await isobar(script, 'pause', '--yes');
        await isobar(script, 'resume', '--yes');
        await isobar(script, 'history', '--last', '5');
        await isobar(script, 'drain', '3', '--yes', '--wait', '60s');
        await isobar(script, 'undrain', '3', '--yes', '--wait', '60s');
      }
      small.cluster.useScripts(installedScripts);
      await replaceCoordinators(small);
    }
    await ends(small);
  });
});

import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  compareWithOracle,
  type RankResults,
  readResults,
  stepsMissing,
} from '@isobar/reference-engine';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { ComposeCluster, follows, isWhole } from './compose-cluster.js';

const ground = inject('docker');
const ranks = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const engines = ranks.map((rank) => `engine-${rank}`);
const agents = ranks.map((rank) => `agent-${rank}`);

/** One cluster throughout: each test leaves it whole for the next. */
describe.skipIf(ground === null)('the cluster of docker-compose.yml', () => {
  let cluster: ComposeCluster;

  beforeAll(async () => {
    if (ground !== null) cluster = await ComposeCluster.start(ground);
  });

  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    process.stderr.write(await cluster.logs(['coordinator-0', 'coordinator-1', ...agents]));
  });

  afterAll(async () => {
    await cluster?.close();
  });

  it('serves and balances itself, with no step before', async () => {
    const status = await cluster.awaitStatus(
      'a first rebalance on all ranks',
      (now) => now.mapping.version > 0 && isWhole(now),
    );
    expect(new Set(status.ranks.map(({ node }) => node))).toEqual(new Set(['node-0', 'node-1']));
    for (const service of ['credentials', 'model']) {
      expect((await cluster.inspect(service)).State).toMatchObject({ Running: false, ExitCode: 0 });
    }
    for (const service of [...agents, 'coordinator-0', 'coordinator-1', 'nats-1']) {
      await cluster.awaitHealth(service);
    }
  });

  it('goes on without one of its NATS servers, and takes it back', async () => {
    await cluster.kill('nats-1');
    await cluster.awaitSwap();
    expect(JSON.parse(await cluster.askByCompose('status', '--json'))).toMatchObject({
      deployment: 'demo',
    });
    expect((await cluster.inspect('nats-1')).State.Running).toBe(false);
    await cluster.restart('nats-1');
    await cluster.awaitHealth('nats-1');
  });

  it('is led by the other coordinator when the leader is killed', async () => {
    const { leader } = await cluster.awaitStatus('a leader', () => true);
    await cluster.kill(leader.holder);
    await cluster.awaitStatus('another leader', (now) => now.leader.holder !== leader.holder);
    await cluster.awaitSwap();
    await cluster.restart(leader.holder);
    await cluster.awaitReady(leader.holder);
  });

  it('waits for an agent that is killed, whose engine serves on', async () => {
    const before = await cluster.awaitStatus('all ranks', isWhole);
    await cluster.kill('agent-2');
    await cluster.restart('agent-2');
    const after = await cluster.awaitSwap();
    expect(after.ranks[2]?.incarnation).toBe(before.ranks[2]?.incarnation);
  });

  it('sees that an engine has been killed, and takes in the one that comes after it', async () => {
    const before = await cluster.awaitStatus('all ranks', isWhole);
    await cluster.kill('engine-5');
    const without = await cluster.awaitStatus(
      'a version without rank 5',
      ({ ranks: now, mapping }) =>
        now.every((rank) =>
          rank.rank === 5 ? rank.member === null : follows(rank, mapping.version),
        ),
    );
    expect(without.mapping.version).toBeGreaterThan(before.mapping.version);
    await cluster.restart('engine-5');
    const after = await cluster.awaitStatus('all ranks', isWhole);
    expect(after.ranks[5]?.incarnation).not.toBe(before.ranks[5]?.incarnation);
  });

  it('goes on while a NATS server is cut off', async () => {
    await cluster.disconnect('nats-3');
    await cluster.awaitSwap();
    await cluster.reconnect('nats-3');
    await cluster.awaitHealth('nats-3');
  });

  it('takes back an agent that was cut off, whose engine served on', async () => {
    // By its own word: a leader that began meanwhile would wait for its answer.
    const before = await cluster.awaitStatus('all ranks', isWhole);
    await cluster.disconnect('agent-1');
    await cluster.awaitUnready('agent-1', 'lacks a NATS server');
    await cluster.reconnect('agent-1');
    const after = await cluster.awaitSwap();
    expect(after.ranks[1]?.member).toBe(before.ranks[1]?.member);
    expect(after.ranks[1]?.incarnation).toBe(before.ranks[1]?.incarnation);
  });

  it('is brought to a later release one by one, while swaps go on', async () => {
    const { later } = ground ?? { later: { isobar: '', version: '' } };
    const before = await cluster.awaitStatus('all ranks', isWhole);
    for (const service of ['coordinator-0', 'coordinator-1']) {
      await cluster.up([service], later.isobar);
      await cluster.awaitReady(service);
    }
    await cluster.awaitStatus('a leader of it', (now) => now.leader.software === later.version);
    for (const rank of ranks) {
      await cluster.up([`agent-${rank}`], later.isobar);
      await cluster.awaitStatus(`rank ${rank} of it`, (now) => {
        const own = now.ranks[rank];
        return own?.software === later.version && own.engineConnected;
      });
    }
    const after = await cluster.awaitSwap();
    expect(after.mapping.version).toBeGreaterThan(before.mapping.version + 1);
    expect(new Set(after.ranks.map(({ software }) => software))).toEqual(new Set([later.version]));
    for (const rank of ranks) {
      expect(after.ranks[rank]?.incarnation).toBe(before.ranks[rank]?.incarnation);
    }
  });

  it('has neither lost nor changed a token but what the killed engine had', async () => {
    await cluster.change('pause');
    await cluster.awaitStatus('all at rest', (now) => now.swap === null && isWhole(now));
    const stopAtMs = Date.now();
    await cluster.kill('engine-0', 'TERM');
    for (const engine of engines) expect(await cluster.ended(engine), engine).toBe(0);
    const model = await cluster.copyOut('model', '/srv/isobar/model');
    const results = await cluster.copyOut('model', '/srv/isobar/results');
    try {
      const all = await readAll(results);
      const checkpoint = join(model, 'checkpoint');
      const comparison = await compareWithOracle(checkpoint, join(model, 'trace.jsonl'), all);
      process.stdout.write(`${JSON.stringify(comparison)}\n`);
      expect(comparison.tokens).toBeGreaterThan(10_000);
      expect(comparison).toMatchObject({
        tokensChanged: 0,
        tokensMisrouted: 0,
        // Of the others what was lost was on its way to the engine that was killed.
        tokensLostUnmasked: 0,
      });
      expect(stepsMissing(all)).toBe(0);
      expect(wronglyMasked(all, stopAtMs)).toEqual([]);
      const ended = all.filter(({ end }) => end !== null);
      expect(ended.map(({ rank }) => rank).sort()).toEqual([...ranks]);
      expect(new Set(ended.map(({ end }) => end?.standing))).toEqual(new Set(['serving']));
      expect(new Set(ended.map(({ steps }) => steps.at(-1)?.mappingVersion)).size).toBe(1);
    } finally {
      await rm(dirname(model), { recursive: true, force: true });
      await rm(dirname(results), { recursive: true, force: true });
    }
  });

  it('starts again from its records after it was stopped whole, without an operator', async () => {
    await cluster.stop();
    await cluster.up();
    await cluster.awaitStatus('all ranks', isWhole);
  });
});

/**
 * Steps in which ranks could not be reached, but for the killed engine until another came for it. Engines
 * stop one after another: what the last of them mask then is no fault.
 */
function wronglyMasked(results: readonly RankResults[], stopAtMs: number): string[] {
  const killed = results.find(({ rank, end }) => rank === 5 && end === null);
  const next = results.find(({ rank, end }) => rank === 5 && end !== null);
  const isGone = (step: number) =>
    step > (killed?.steps.at(-1)?.step ?? 0) && step < (next?.steps[0]?.step ?? 0);
  return results.flatMap(({ rank, incarnation, steps }) =>
    steps
      .filter(({ startedAtMs, stepMillis }) => startedAtMs + stepMillis < stopAtMs)
      .filter(({ step, maskedRanks }) => maskedRanks > (isGone(step) ? 1 : 0))
      .map(({ step, maskedRanks }) => {
        const span = `steps ${steps[0]?.step} to ${steps.at(-1)?.step}`;
        return `rank ${rank} (${incarnation}, ${span}) was without ${maskedRanks} in step ${step}`;
      }),
  );
}

async function readAll(directory: string): Promise<RankResults[]> {
  return (await Promise.all(ranks.map((rank) => readResults(directory, rank)))).flat();
}

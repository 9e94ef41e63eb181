import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runIsobar } from './run-isobar.js';
import { SmallCluster } from './small-cluster.js';

let small: SmallCluster;

beforeEach(async () => {
  small = await SmallCluster.start({ coordinator: { mode: 'observe' } });
  await small.committed(1);
});

afterEach(() => small.close());

function isobar(...args: string[]) {
  return runIsobar('--server', small.cluster.natsUrl, '--deployment', 'demo', ...args);
}

describe('an operator', () => {
  it('sees what would be done, has it done, and exports what came of it', async () => {
    await small.event(({ kind, outcome }) => kind === 'plan' && outcome === 'observed');
    const observed = JSON.parse((await isobar('status', '--json')).stdout);
    expect(observed).toMatchObject({ mode: 'observe', mapping: { version: 1 } });
    // A plan that pays rests on a time per token that was fitted.
    expect(observed.history).toContainEqual(
      expect.objectContaining({
        outcome: 'observed',
        plan: expect.objectContaining({
          economy: expect.objectContaining({ perTokenSeconds: expect.any(Number) }),
          reason: expect.stringContaining('its gain pays'),
        }),
      }),
    );

    const told = await isobar('plan', '--json');
    expect(told.code, told.stderr).toBe(0);
    const plan = JSON.parse(told.stdout);
    expect(plan.balancedness.after).toBeGreaterThan(plan.balancedness.before);
    expect(plan.forecast).toMatchObject({ layers: observed.mapping.layers });
    expect(plan.forecast.relativeError).toBeGreaterThan(0);

    const early = await isobar('approve', '--yes');
    expect(early).toMatchObject({ code: 1, stdout: '' });
    expect(early.stderr).toContain('ISOBAR_COORDINATOR_NO_PLAN');

    expect((await isobar('mode', 'approve', '--yes')).code).toBe(0);
    const { version: waiting } = await small.event(
      ({ kind, outcome }) => kind === 'plan' && outcome === 'waiting',
    );
    expect(waiting).toBeUndefined();
    const approved = await isobar('approve', '--yes');
    expect(approved.code, approved.stdout + approved.stderr).toBe(0);
    await small.event(
      ({ kind, outcome }) => kind === 'rebalance-finished' && outcome === 'applied',
    );

    expect((await isobar('pause', '--json', '--yes')).stdout).toContain('"paused":true');
    const own = JSON.parse((await isobar('export')).stdout);
    const sglang = JSON.parse((await isobar('export', '--format', 'sglang')).stdout);
    expect(own.version).toBeGreaterThan(1);
    expect(sglang).toEqual({ physical_to_logical_map: own.physicalToLogical });

    const status = await isobar('status');
    expect(status.stdout).toContain('approve, paused');
    expect(status.stdout).toMatch(/applied/);
    const story = await isobar('history', '--of', String(own.version), '--json');
    const kinds = story.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).kind);
    expect(kinds).toEqual(expect.arrayContaining(['decided', 'swap-finished']));
    expect((await isobar('history', '--last', '500')).stdout).toMatch(/ plan .*outcome=waiting/);
    expect(status.stdout).toMatch(/^forecast .* % off so far/m);
  });

  it('steers by placements of her own, and hears why versions are as they are', async () => {
    await small.event(({ kind }) => kind === 'plan');
    const wouldBe = await isobar('rebalance', '--layers', '0,1', '--dry-run');
    expect(wouldBe.stdout).toMatch(/^rebalance \(dry run\): would be done/);
    expect((await isobar('status', '--json')).stdout).toContain('"version":1,');
    const before = (await isobar('export', '1')).stdout;
    const done = await isobar('rebalance', '--yes', '--request-id', 'mine', '--json');
    expect(done.code, done.stderr).toBe(0);
    const { version } = JSON.parse(done.stdout);
    const explained = await isobar('explain', String(version));
    expect(explained.stdout).toMatch(/^asked by .* rebalance, request mine$/m);
    expect(explained.stdout).toMatch(/^durations .*totalMs/m);

    const file = join(small.cluster.directory, 'mapping.json');
    await writeFile(file, before);
    const imported = await isobar('import', file, '--yes', '--wait', '30s');
    expect(imported.stdout).toMatch(/^import: committed/);
    expect(imported.stdout).toContain('held: a mapping was imported');
    const after = JSON.parse((await isobar('export')).stdout);
    expect(after.digest).toBe(JSON.parse(before).digest);

    const drained = await isobar('drain', '--node', 'node-1', '--dry-run');
    expect(drained.code).toBe(1);
    expect(drained.stdout).toContain('ISOBAR_COORDINATOR_DEGRADED');
    expect((await isobar('drain', '--yes')).code).toBe(2);
    expect((await isobar('refuse', '--yes')).stderr).toContain('ISOBAR_COORDINATOR_NO_PLAN');
  });

  it('is told what may be said where a command is malformed', async () => {
    const refused = await isobar('mode', 'sometimes');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('Allowed choices are observe, approve, automatic');
  });
});

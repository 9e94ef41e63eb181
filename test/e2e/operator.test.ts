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

    const early = await isobar('approve');
    expect(early).toMatchObject({ code: 1, stdout: '' });
    expect(early.stderr).toContain('ISOBAR_COORDINATOR_NO_PLAN');

    expect((await isobar('mode', 'approve')).code).toBe(0);
    const { version: waiting } = await small.event(
      ({ kind, outcome }) => kind === 'plan' && outcome === 'waiting',
    );
    expect(waiting).toBeUndefined();
    expect((await isobar('approve')).code).toBe(0);
    await small.event(
      ({ kind, outcome }) => kind === 'rebalance-finished' && outcome === 'applied',
    );

    expect((await isobar('pause', '--json')).stdout).toContain('"paused":true');
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

  it('is told the field where a command is malformed', async () => {
    const refused = await isobar('mode', 'sometimes');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/ISOBAR_COORDINATOR_COMMAND_MALFORMED.*mode/);
  });
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { overConnection } from './command-transport.js';
import { RawClient } from './raw-client.js';
import { runIsobar } from './run-isobar.js';
import { noTokenWrong, SmallCluster } from './small-cluster.js';

const lease = { leaseMs: 3_000, renewDeadlineMs: 2_000, renewMs: 800, retryMs: 400 };
const deadline = { timeout: 60_000, interval: 100 };
const parametersSchema = z.looseObject({
  parameters: z.array(
    z.looseObject({ name: z.string(), value: z.unknown(), origin: z.string(), from: z.string() }),
  ),
});

let small: SmallCluster | null = null;
let raw: RawClient | null = null;

afterEach(async () => {
  await raw?.close();
  await small?.close();
  raw = null;
  small = null;
});

async function parameter(client: RawClient, name: string) {
  const { parameters } = parametersSchema.parse(await client.done('parameters'));
  return parameters.find((one) => one.name === name);
}

function isobar({ cluster }: SmallCluster, ...args: string[]) {
  return runIsobar('--server', cluster.natsUrl, '--deployment', 'demo', ...args);
}

describe('parameters', () => {
  it('are set by isobar and by any client, as a whole, and outlive their leader', async () => {
    small = await SmallCluster.start({
      numCoordinators: 2,
      coordinator: { mode: 'observe', planIntervalMs: 600_000, ...lease },
    });
    await small.committed(1);
    raw = await RawClient.over(await overConnection(small.cluster.natsUrl, 'json'), 'isobar-demo');

    const interval = 'coordinator.planIntervalMs';
    expect(await parameter(raw, interval)).toMatchObject({ value: 600_000, origin: 'file' });
    expect(await parameter(raw, 'coordinator.holder')).toMatchObject({
      from: 'environment ISOBAR_COORDINATOR_HOLDER',
    });

    // A whole: one that is wrong, and nothing is set.
    const wrong = { [interval]: 100, 'coordinator.passesMin': 2_000 };
    const refused = await raw.ask('set-parameters', { parameters: wrong });
    expect(refused).toBe('ISOBAR_CONFIGURATION_PARAMETER');
    const typo = await isobar(small, 'set', 'coordinator.planIntervalms=1s', '--yes');
    expect(typo.code).toBe(1);
    expect(typo.stderr).toContain('did you mean coordinator.planIntervalMs?');
    const wouldBe = await raw.done('set-parameters', {
      parameters: { [interval]: '500ms' },
      dryRun: true,
    });
    expect(wouldBe).toMatchObject({
      outcome: 'would-be-done',
      reason: expect.stringMatching(`^${interval} is 500 by command, over 600000 \\(file, line`),
      control: { parameters: { [interval]: 500 } },
    });
    expect(await parameter(raw, interval)).toMatchObject({ value: 600_000 });

    // At once: what ten minutes would have brought comes now.
    const plans = () => small?.events.filter(({ kind }) => kind === 'plan').length ?? 0;
    const before = plans();
    const question = { parameters: { [interval]: 500 }, requestId: 'faster' };
    expect(await raw.done('set-parameters', question)).toMatchObject({ outcome: 'done' });
    await vi.waitFor(() => expect(plans()).toBeGreaterThan(before + 1), deadline);
    const set = await isobar(small, 'set', 'coordinator.policy=default', '--yes', '--json');
    expect(JSON.parse(set.stdout)).toMatchObject({
      outcome: 'done',
      control: { parameters: { [interval]: 500, 'coordinator.policy': 'default' } },
    });
    await small.event(
      (event) => event.kind === 'plan' && (event as { policy?: unknown }).policy === 'default',
    );

    const { leader } = await small.status();
    await small.cluster.process(leader.holder).kill();
    await small.ledUnder(leader.term + 1);
    await raw.close();
    raw = await RawClient.over(
      await overConnection(small.cluster.natsUrl, 'message-pack'),
      'isobar-demo',
    );
    expect(await parameter(raw, interval)).toMatchObject({ value: 500, origin: 'command' });
    // Sent again it is not done again.
    expect(await raw.done('set-parameters', question)).toMatchObject({ outcome: 'done' });

    const reset = await isobar(small, 'set', `${interval}=`, '--yes');
    expect(reset.code).toBe(0);
    expect(await parameter(raw, interval)).toMatchObject({ value: 600_000, origin: 'file' });
    const shown = await isobar(small, 'parameters');
    expect(shown.stdout).toMatch(/coordinator\.policy +default +command +command/);
  });
});

describe('a configuration that is changed while processes run', () => {
  it('holds at SIGHUP where it can, is told where it can’t, and refused where it is wrong', async () => {
    small = await SmallCluster.start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const { cluster } = small;
    raw = await RawClient.over(await overConnection(cluster.natsUrl, 'json'), 'isobar-demo');
    const { coordinator } = cluster.options;
    const log = (name: string) => readFile(cluster.process(name).logPath, 'utf8');
    const logged = (name: string, text: string) =>
      vi.waitFor(async () => expect(await log(name)).toContain(text), deadline);

    await cluster.writeConfiguration({
      coordinator: { ...coordinator, passMs: 150, leaseMs: '20s' },
      agent: { reportIntervalMs: 700 },
    });
    for (const name of ['coordinator-0', 'agent-1']) cluster.process(name).signal('SIGHUP');
    await logged('coordinator-0', 'configuration read again');
    await logged('agent-1', 'configuration read again');
    expect(await log('coordinator-0')).toMatch(
      /"option":"coordinator\.leaseMs","from":"15000","to":"20000","msg":"option needs a restart"/,
    );
    expect(await log('agent-1')).toMatch(
      /"option":"agent\.reportIntervalMs","from":"1000","to":"700","msg":"option changed"/,
    );
    expect(await log('agent-1')).not.toContain('coordinator.');
    expect(await parameter(raw, 'coordinator.passMs')).toMatchObject({ value: 150 });
    expect(await parameter(raw, 'coordinator.leaseMs')).toMatchObject({ value: 15_000 });

    // A command's value goes before the file's, also one that is written later.
    await raw.done('set-parameters', { parameters: { 'coordinator.windowPasses': 4 } });
    await cluster.writeConfiguration({
      coordinator: { ...coordinator, passMs: 175, windowPasses: 6, passesMin: 5 },
    });
    cluster.process('coordinator-0').signal('SIGHUP');
    await logged('coordinator-0', 'was set by a command and does not go with the file');
    await cluster.writeConfiguration({ coordinator: { ...coordinator, passMs: 'soon' } });
    cluster.process('coordinator-0').signal('SIGHUP');
    await logged('coordinator-0', 'coordinator.passMs: must be a duration');
    expect(await parameter(raw, 'coordinator.passMs')).toMatchObject({ value: 150 });
    expect(await parameter(raw, 'coordinator.windowPasses')).toMatchObject({ value: 4 });
    await small.stepsServed(0, 10);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });
});

describe('isobar config', () => {
  it('tells what is wrong with a file, and what would hold', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'isobar-config-'));
    const file = join(folder, 'isobar.yaml');
    const start = 'deployment: d\ntopology: { ranks: 2, nodes: 1 }\nnats: { servers: [a] }\n';
    try {
      await writeFile(file, `${start}coordinator: { mode: approve }\n`);
      expect(await runIsobar('config', 'check', file)).toMatchObject({ code: 0, stderr: '' });
      const shown = await runIsobar('config', 'show', file);
      expect(shown.stdout).toMatch(/coordinator\.mode +approve +file, line 4/);
      await writeFile(file, `${start}coordinator:\n  leasMs: 1\n  passMs: soon\n`);
      const bad = await runIsobar('config', 'check', file, '--json');
      expect(bad.code).toBe(1);
      expect(JSON.parse(bad.stdout)).toMatchObject({
        ok: false,
        problems: [
          { field: 'coordinator.leasMs', line: 5, column: 3 },
          { field: 'coordinator.passMs', line: 6, column: 11 },
        ],
      });
      const byDefault = await runIsobar('config', 'show');
      expect(byDefault).toMatchObject({ code: 0, stderr: '' });
      expect(byDefault.stdout).toMatch(/deployment +- +missing/);
      expect(byDefault.stdout).toMatch(/coordinator\.leaseMs +15000 +default/);
      const none = await runIsobar('config', 'check', join(folder, 'none.yaml'));
      expect(none.stderr).toContain('ISOBAR_CONFIGURATION_UNREADABLE');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SmallCluster } from './small-cluster.js';

let running: SmallCluster | null = null;

afterEach(async () => {
  await running?.close();
  running = null;
});

/** Where a process of the cluster answers: its log says which port was free. */
async function urlOf({ cluster }: SmallCluster, name: string): Promise<string> {
  const log = await readFile(cluster.process(name).logPath, 'utf8');
  const told = log.split('\n').find((line) => line.includes('"msg":"probes"'));
  const { port }: { port: number } = JSON.parse(told ?? '{}');
  return `http://127.0.0.1:${port}`;
}

async function answerOf(url: string): Promise<readonly [number, string]> {
  const response = await fetch(url);
  return [response.status, await response.text()];
}

/** Values by series, as Prometheus would read them. */
async function series(url: string): Promise<ReadonlyMap<string, number>> {
  const [status, text] = await answerOf(`${url}/metrics`);
  expect(status).toBe(200);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.split(' ').at(-1))]));
}

describe('the probes of a cluster', () => {
  it('say who is ready, who leads, how balanced it is, and what is lacking', async () => {
    const small = await SmallCluster.start({
      http: { listen: '127.0.0.1:0' },
      numCoordinators: 2,
    });
    running = small;
    const names = ['agent-0', 'agent-1', 'coordinator-0', 'coordinator-1'];
    const urls = new Map(
      await Promise.all(names.map(async (name) => [name, await urlOf(small, name)] as const)),
    );
    const of = (name: string) => urls.get(name) ?? '';
    await small.committed(2);
    for (const url of urls.values()) {
      await vi.waitFor(async () => {
        expect(await answerOf(`${url}/readyz`)).toEqual([200, 'ready\n']);
      }, 20_000);
    }

    const { leader } = await small.status();
    const standby = leader.holder === 'coordinator-0' ? 'coordinator-1' : 'coordinator-0';
    const leading = await series(of(leader.holder));
    const labels = `deployment="demo",holder="${leader.holder}"`;
    expect(leading.get(`isobar_coordinator_leading{${labels}}`)).toBe(1);
    expect(leading.get(`isobar_term{${labels}}`)).toBe(leader.term);
    expect(leading.get(`isobar_mapping_version{${labels}}`)).toBeGreaterThanOrEqual(2);
    expect(leading.get(`isobar_swaps_total{outcome="committed",${labels}}`)).toBeGreaterThan(0);
    expect(leading.get(`isobar_rank_engine_connected{rank="3",${labels}}`)).toBe(1);
    expect(leading.get(`isobar_balancedness{${labels}}`)).toBeGreaterThan(0);
    const standing = await series(of(standby));
    expect([...standing.keys()].filter((name) => name.startsWith('isobar_rank_'))).toEqual([]);
    expect(standing.get(`isobar_coordinator_leading{deployment="demo",holder="${standby}"}`)).toBe(
      0,
    );
    const agent = await series(of('agent-1'));
    expect(agent.get('isobar_agent_engine_connected{deployment="demo",rank="1"}')).toBe(1);

    await small.cluster.process('engine-1').kill();
    await vi.waitFor(async () => {
      expect(await answerOf(`${of('agent-1')}/readyz`)).toEqual([503, 'lacks its engine\n']);
    }, 20_000);
    await small.cluster.process('nats-0').kill();
    await vi.waitFor(async () => {
      const answers = await Promise.all(names.map((name) => answerOf(`${of(name)}/readyz`)));
      for (const [status, text] of answers) {
        expect([status, text.split('\n')[0]]).toEqual([503, 'lacks a NATS server']);
      }
    }, 30_000);
    for (const url of urls.values()) expect((await answerOf(`${url}/livez`))[0]).toBe(200);
  });
});

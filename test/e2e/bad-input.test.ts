import { readFile } from 'node:fs/promises';
import { encode, subjectsOf } from '@isobar/protocol';
import { Cluster } from '@isobar/testing';
import { formatTopology, uniformTopology } from '@isobar/topology';
import { afterEach, describe, expect, it } from 'vitest';
import { noTokenWrong, SmallCluster, smallClusterOptions } from './small-cluster.js';

let running: SmallCluster | null = null;

afterEach(async () => {
  await running?.close();
  running = null;
});

const subjects = subjectsOf('demo');
const heard = [
  ...(['prepare', 'outcome', 'retire', 'state'] as const).map((verb) => subjects.swap(verb)),
  subjects.query(0),
  subjects.load(0),
  subjects.report(0),
  subjects.vote(2, 0),
  subjects.leader('outcomes'),
];

describe('malformed messages', () => {
  it('are counted and dropped by every service, which goes on as if they had not come', async () => {
    running = await SmallCluster.start({ coordinator: { mode: 'observe' } });
    await running.committed(1);
    for (const subject of heard) {
      running.client.bus.publish(subject, new Uint8Array([0xc1, 0xff, 0x00]));
      running.client.bus.publish(subject, encode({ schema: 99 }));
      running.client.bus.publish(subject, encode({ schema: 1, rank: 'zero', fence: { term: -1 } }));
    }
    await running.client.bus.flush();
    await running.stepsServed(0, 10);
    const status = await running.status();
    expect(status.messagesRefused).toBeGreaterThan(0);
    expect(status.mapping.version).toBe(1);
    expect(status.ranks.every((rank) => rank.engineConnected)).toBe(true);
    const log = await readFile(running.cluster.process('agent-0').logPath, 'utf8');
    expect(log).toContain('ISOBAR_PROTOCOL_MALFORMED');
    expect(log).toContain('ISOBAR_PROTOCOL_SCHEMA_VERSION');
    expect(await running.conclude()).toMatchObject(noTokenWrong);
  });
});

describe('a coordinator with the topology of another cluster', () => {
  it('says so, and leads nobody', async () => {
    const topology = formatTopology(uniformTopology({ numRanks: 3, numNodes: 1 }));
    const lease = { leaseMs: 2_000, renewDeadlineMs: 1_500, renewMs: 500, retryMs: 400 };
    running = await SmallCluster.start({ topology, coordinator: lease });
    const alarm = await running.event(({ kind }) => kind === 'alarm');
    expect(alarm).toMatchObject({ alarm: 'cannot-lead', code: 'ISOBAR_TOPOLOGY_RANKS' });
    await expect(running.status()).rejects.toThrow();
  });
});

describe('a cluster that does not start', () => {
  it('names the topology that is none, and leaves nothing running', async () => {
    const started = Cluster.start(smallClusterOptions({ topology: 'levels: [' }));
    await expect(started).rejects.toMatchObject({
      code: 'ISOBAR_TESTING_PROCESS_ENDED',
      message: expect.stringContaining('ISOBAR_TOPOLOGY_SYNTAX'),
    });
  });
});

import { auditEventSchema, decode, subjectsOf } from '@isobar/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { deployment, InProcessCluster } from './in-process-cluster.js';

let cluster: InProcessCluster;

beforeEach(async () => {
  cluster = await InProcessCluster.start();
}, 60_000);
afterEach(() => cluster.close());

function alarms() {
  return cluster.bus.events
    .map(({ payload }) => decode('event', payload, auditEventSchema))
    .filter(({ alarm }) => alarm === 'message-too-large');
}

it('a message that is over the server’s limit at each tick is told once, and ends nothing', async () => {
  const subject = subjectsOf(deployment).swap('state');
  cluster.bus.tooLarge.set(subject, 0);
  const refused = () => cluster.bus.tooLarge.get(subject) ?? 0;
  await vi.waitFor(() => expect(refused()).toBeGreaterThan(5), { timeout: 10_000, interval: 10 });
  await vi.waitFor(() => expect(alarms()).not.toEqual([]), { timeout: 10_000, interval: 10 });
  const { version } = (await cluster.leading()).mapping;
  expect(version).toBeGreaterThan(0);
  expect(alarms()).toMatchObject([{ code: 'ISOBAR_BUS_PAYLOAD_TOO_LARGE', subject }]);
  expect(cluster.failures).toEqual([]);
});

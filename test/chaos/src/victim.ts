import { IsobarError, recordsBucket } from '@isobar/protocol';
import { z } from 'zod';
import type { Victim } from './chaos-case.js';
import { numCoordinators } from './chaos-cluster.js';
import type { ClusterWatch } from './cluster-watch.js';

/** Strikes at a rank strike at this one: any other would do. */
export const rankStruck = 3;

const streamInfoSchema = z.object({
  cluster: z.object({
    leader: z.string(),
    replicas: z.array(z.object({ name: z.string() })),
  }),
});
const askTimeoutMs = 2_000;

/** Servers of the records' stream, as they are now. */
export interface StreamServers {
  readonly leader: string;
  readonly followers: readonly string[];
}

/** @throws IsobarError those of the bus; ISOBAR_CHAOS_NOT_SEEN where the stream has no leader */
export async function streamServers(watch: ClusterWatch): Promise<StreamServers> {
  const failures: unknown[] = [];
  for (const bus of watch.buses) {
    try {
      const subject = `$JS.API.STREAM.INFO.KV_${recordsBucket(watch.deployment)}`;
      const answer = await bus.request(subject, new Uint8Array(0), askTimeoutMs);
      const { cluster } = streamInfoSchema.parse(JSON.parse(new TextDecoder().decode(answer)));
      return { leader: cluster.leader, followers: cluster.replicas.map(({ name }) => name) };
    } catch (failure) {
      failures.push(failure);
    }
  }
  const text = "no server tells who leads the records' stream";
  throw new IsobarError('ISOBAR_CHAOS_NOT_SEEN', text, {}, { cause: new AggregateError(failures) });
}

/** Name of the process that plays the victim's part now; null where that is not known. */
export function processOf(
  victim: Victim,
  watch: ClusterWatch,
  servers: StreamServers,
): string | null {
  const { holder } = watch;
  switch (victim) {
    case 'leader':
      return holder;
    case 'standby': {
      if (holder === null) return null;
      const names = Array.from({ length: numCoordinators }, (_, index) => `coordinator-${index}`);
      return names.find((name) => name !== holder) ?? null;
    }
    case 'agent':
    case 'engine':
      return `${victim}-${rankStruck}`;
    case 'stream-leader':
      return servers.leader;
    case 'stream-follower':
      return servers.followers[0] ?? null;
  }
}

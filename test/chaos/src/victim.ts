import { recordsBucket } from '@isobar/protocol';
import { z } from 'zod';
import { askAny } from './ask-any.js';
import type { Victim } from './chaos-case.js';
import { numCoordinators } from './chaos-cluster.js';
import type { ClusterWatch } from './cluster-watch.js';
import { NotSeenError } from './not-seen-error.js';

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

/** @throws IsobarError of the bus; NotSeenError where the stream has no leader */
export function streamServers(watch: ClusterWatch, deadlineMs: number): Promise<StreamServers> {
  const subject = `$JS.API.STREAM.INFO.KV_${recordsBucket(watch.deployment)}`;
  return askAny(
    watch,
    async (bus) => {
      const answer = await bus.request(subject, new Uint8Array(0), askTimeoutMs);
      const info = streamInfoSchema.safeParse(JSON.parse(new TextDecoder().decode(answer)));
      if (!info.success) {
        const text = "no server leads the records' stream";
        throw new NotSeenError(text);
      }
      const { leader, replicas } = info.data.cluster;
      return { leader, followers: replicas.map(({ name }) => name) };
    },
    deadlineMs,
  );
}

/** Names of the processes that play the victim's part now; none where that is not known. */
export function processesOf(
  victim: Victim,
  watch: ClusterWatch,
  servers: StreamServers,
): readonly string[] {
  const { holder } = watch;
  switch (victim) {
    case 'leader':
      return holder === null ? [] : [holder];
    case 'standby': {
      if (holder === null) return [];
      const names = Array.from({ length: numCoordinators }, (_, index) => `coordinator-${index}`);
      return names.filter((name) => name !== holder).slice(0, 1);
    }
    case 'agent':
    case 'engine':
      return [`${victim}-${rankStruck}`];
    case 'machine':
      return [`agent-${rankStruck}`, `engine-${rankStruck}`];
    case 'stream-leader':
      return [servers.leader];
    case 'stream-follower':
      return servers.followers.slice(0, 1);
    case 'every-server':
      return [servers.leader, ...servers.followers];
  }
}

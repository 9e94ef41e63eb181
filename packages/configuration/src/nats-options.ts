import { z } from 'zod';
import { duration, optional, path, text, texts } from './option.js';

/** No user and no password: a secret's place is a context. */
const server = z
  .string()
  .regex(/^[^@\s,]{1,256}$/)
  .refine((url) => !url.includes('://') || URL.canParse(url));

export const natsOptions = {
  servers: texts({
    item: server,
    most: 64,
    expected: 'a list of URLs such as "nats://nats-1:4222", without user or password',
    atRunTime: 'restart',
    meaning: 'NATS servers. Name several of a cluster: any of them is enough to find the others.',
  }),
  context: optional(
    path({
      expected: 'the path of a context file',
      atRunTime: 'restart',
      meaning:
        'Context file of the `nats` client: as whom a process connects, and with which certificates. `{process}` in it is `agent-RANK`, or the coordinator’s `holder`, as `isobar auth init` names its folders. Anonymous where there is none.',
    }),
  ),
  operatorsAccount: optional(
    text({
      schema: z.string().min(1).max(256),
      expected: 'the name of an account',
      atRunTime: 'restart',
      meaning:
        'Account from which all commands come, through an import with `share: true`, as `isobar auth init` sets it up. Commands without the server’s word for it are refused. Without it requesters are recorded as unverified.',
    }),
  ),
  pingIntervalMs: duration({
    least: 100,
    most: 60_000,
    default: 2_000,
    atRunTime: 'restart',
    meaning:
      'Between two pings; a server that is silent for three of them is left for another. Less finds a dead server sooner, at the cost of false alarms in a busy network.',
  }),
  connectTimeoutMs: duration({
    least: 100,
    most: 60_000,
    default: 2_000,
    atRunTime: 'restart',
    meaning:
      'For each attempt to connect to a server. Raise it where servers are far away or TLS is slow.',
  }),
  refusalPeriodMs: duration({
    least: 100,
    most: 3_600_000,
    default: 60_000,
    atRunTime: 'restart',
    meaning:
      'Messages that are refused are told again after this long while they go on; a whole period without any ends their alarm.',
  }),
};

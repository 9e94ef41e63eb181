import { readFile } from 'node:fs/promises';
import { moveCostDefault } from '@isobar/eplb';
import {
  type CoordinatorTimings,
  deploymentSchema,
  IsobarError,
  modeSchema,
} from '@isobar/protocol';
import { z } from 'zod';

const millis = (least: number, most: number) => z.number().int().min(least).max(most);

/** Settings of a coordinator, a JSON file. */
export const coordinatorSettingsSchema = z
  .object({
    deployment: deploymentSchema,
    /** URLs of NATS servers. */
    servers: z.array(z.string().min(1)).min(1).max(64),
    /** Context file of the `nats` client: identity and certificates. Anonymous where absent. */
    context: z.string().min(1).optional(),
    /**
     * Account from which all commands come, through an import with `share: true` and in no other way,
     * as `isobar auth init` sets it up. Commands without the server's word for that are refused. Where
     * it is absent, requesters are recorded as unverified: any client can claim to be another.
     */
    operatorsAccount: z.string().min(1).max(256).optional(),
    /** A server that is silent for three of these is left for another. */
    pingIntervalMs: millis(100, 60_000).default(2_000),
    /** For each attempt to connect to a server. */
    connectTimeoutMs: millis(100, 60_000).default(2_000),
    /** Path of the cluster's topology, YAML. */
    topology: z.string().min(1),
    /** Name under which it leads, for people: several coordinators of a deployment may run. */
    holder: z.string().min(1).max(200).default('coordinator'),
    /** Copies that the cluster keeps of each record. */
    replicas: z.number().int().min(1).max(5).default(1),
    /** What it does on its own, where no operator has said yet. */
    mode: modeSchema.default('observe'),
    policy: z.enum(['locality-aware', 'default']).default('locality-aware'),
    /** Length of a pass: the loads of all ranks over this time are one point of the window. */
    passMs: millis(50, 600_000).default(1_000),
    /** Steps that every rank must have told of before a pass may end. */
    passStepsMin: z.number().int().min(1).max(1_000_000).default(1),
    /** Passes in the window. */
    windowPasses: z.number().int().min(1).max(1_024).default(8),
    /** Passes that must be in the window before a plan is made. */
    passesMin: z.number().int().min(1).max(1_024).default(2),
    /** Least time between two plans. */
    planIntervalMs: millis(100, 86_400_000).default(10_000),
    planDeadlineMs: millis(100, 600_000).default(10_000),
    /** A plan is made only where the window's balancedness is below this. */
    balancednessMax: z.number().gt(0).max(1).default(0.95),
    /** Passes for which a plan is expected to serve. */
    horizonPasses: z.number().int().min(1).max(100_000).default(60),
    /** Bandwidth that weights take on all links together while they move. */
    bandwidthBytesPerSecond: z.number().positive().default(10e9),
    /** Share of the transfers' time by which inference is slowed, until it has been measured. */
    interference: z.number().min(0).max(1).default(0.1),
    /** A rank's time for a token of a layer; fitted from the reported times where absent. */
    perTokenSeconds: z.number().positive().optional(),
    /**
     * Share of a layer's mean rank load that a move must save; less is lost in a forecast's error.
     * The policy knows that error too, and plans for it: by default no more is asked than it would.
     */
    gainShareMin: z.number().min(0).max(1).default(moveCostDefault),
    /** After a void version, or a plan that failed, no rebalance begins by itself for this long. */
    backOffMs: millis(0, 86_400_000).default(30_000),
    /** Refused messages that go on are told again after this long; a whole one without ends the alarm. */
    refusalPeriodMs: millis(100, 3_600_000).default(60_000),
    /** A rank that goes on telling a term which no leader can have come to is followed after this long. */
    runawayFollowMs: millis(100, 3_600_000).default(60_000),
    /** And no second time within this one: a rank that lies gets nowhere with it. */
    runawayFollowEveryMs: millis(0, 86_400_000).default(3_600_000),
    /** Heartbeat, and repetition of what ranks have not followed. */
    tickMs: millis(20, 10_000).default(500),
    /** All votes must be in by then, or the version is void. */
    prepareDeadlineMs: millis(100, 3_600_000).default(120_000),
    /** After a void, ranks that don't report their staging gone are waited for this long. */
    discardDeadlineMs: millis(100, 3_600_000).default(30_000),
    /** A record that takes longer to be created raises an alarm. */
    decideDeadlineMs: millis(100, 3_600_000).default(15_000),
    /** Ranks that take longer to activate a committed version raise an alarm. */
    activateDeadlineMs: millis(100, 3_600_000).default(30_000),
    /** Ranks that take longer to free old buffers raise an alarm. */
    retireDeadlineMs: millis(100, 3_600_000).default(30_000),
    /** An evacuation or a change of members that ended void is tried again after this long. */
    changeRetryMs: millis(100, 3_600_000).default(5_000),
    /** A member that all others have lost for this long is cut off by them, for good. */
    cutAfterMs: millis(100, 3_600_000).default(5_000),
    /** Another coordinator may lead once the leader record has not changed for this long. */
    leaseMs: millis(500, 600_000).default(15_000),
    /** A leader stops this long after the start of its last successful renewal. */
    renewDeadlineMs: millis(300, 600_000).default(10_000),
    /** Between two renewals of the leader record. */
    renewMs: millis(100, 600_000).default(5_000),
    /** For one read or write of a record, and between attempts that fail; a standby reads so often. */
    retryMs: millis(50, 60_000).default(2_000),
    /** For a rank's answer to a new leader; it is asked again after as long. */
    queryDeadlineMs: millis(50, 60_000).default(1_000),
  })
  .strict()
  .refine(({ renewDeadlineMs, leaseMs }) => renewDeadlineMs < leaseMs, {
    path: ['renewDeadlineMs'],
    message: 'must be less than leaseMs: a leader stops before another may lead',
  })
  .refine(({ renewMs, retryMs, renewDeadlineMs }) => renewMs + retryMs <= renewDeadlineMs, {
    path: ['renewMs'],
    message: 'and retryMs together must be at most renewDeadlineMs: a renewal may fail once',
  });

export type CoordinatorSettings = Readonly<z.infer<typeof coordinatorSettingsSchema>>;

/** What the machine knows of time. */
export function timingsOf(settings: CoordinatorSettings): CoordinatorTimings {
  const { leaseMs, renewDeadlineMs, renewMs, retryMs, changeRetryMs, queryDeadlineMs } = settings;
  const { prepareDeadlineMs, discardDeadlineMs, decideDeadlineMs } = settings;
  const { activateDeadlineMs, retireDeadlineMs, cutAfterMs, backOffMs } = settings;
  const { runawayFollowMs, runawayFollowEveryMs } = settings;
  return {
    lease: { leaseMs, renewDeadlineMs, renewMs, retryMs },
    leader: {
      prepareDeadlineMs,
      discardDeadlineMs,
      decideDeadlineMs,
      activateDeadlineMs,
      retireDeadlineMs,
      cutAfterMs,
      backOffMs,
      retryMs: changeRetryMs,
    },
    askMs: queryDeadlineMs,
    runawayFollowMs,
    runawayFollowEveryMs,
  };
}

/** @throws IsobarError ISOBAR_COORDINATOR_SETTINGS naming file and field */
export async function readSettings(path: string): Promise<CoordinatorSettings> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw refuse(path, '', 'it can not be read as JSON', cause);
  }
  const parsed = coordinatorSettingsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw refuse(path, issue?.path.join('.') ?? '', issue?.message ?? 'invalid');
}

function refuse(path: string, field: string, why: string, cause?: unknown): IsobarError {
  const text = `coordinator settings ${path}${field === '' ? '' : `, field ${field}`}: ${why}`;
  return new IsobarError('ISOBAR_COORDINATOR_SETTINGS', text, { path, field }, { cause });
}

import { readFile } from 'node:fs/promises';
import { moveCostDefault } from '@isobar/eplb';
import { deploymentSchema, IsobarError, modeSchema } from '@isobar/protocol';
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
    /** Path of the cluster's topology, YAML. */
    topology: z.string().min(1),
    /** Name under which it leads. */
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
    /** After a void version nothing is planned for this long. */
    backOffMs: millis(0, 86_400_000).default(30_000),
    /** Heartbeat, and repetition of what ranks have not followed. */
    tickMs: millis(20, 10_000).default(500),
    /** All votes must be in by then, or the version is void. */
    prepareDeadlineMs: millis(100, 3_600_000).default(120_000),
    discardDeadlineMs: millis(100, 3_600_000).default(30_000),
    /** A phase of a swap that lasts longer raises an alarm. */
    slowPhaseMs: millis(100, 3_600_000).default(10_000),
    /** Renewal of the leader record. */
    renewMs: millis(100, 600_000).default(5_000),
    /** For a rank's answer to a new leader. */
    queryDeadlineMs: millis(50, 60_000).default(2_000),
  })
  .strict();

export type CoordinatorSettings = Readonly<z.infer<typeof coordinatorSettingsSchema>>;

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

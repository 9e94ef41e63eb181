import { readFile } from 'node:fs/promises';
import { parseEngineAddress } from '@isobar/engine';
import { deploymentSchema, IsobarError, rankSchema } from '@isobar/protocol';
import { z } from 'zod';

/** Settings of one rank's agent, a JSON file. */
export const agentSettingsSchema = z
  .object({
    deployment: deploymentSchema,
    rank: rankSchema,
    /** URLs of NATS servers. */
    servers: z.array(z.string().min(1)).min(1).max(64),
    /** Context file of the `nats` client: identity and certificates. Anonymous where absent. */
    context: z.string().min(1).optional(),
    /** A server that is silent for three of these is left for another. */
    pingIntervalMs: z.number().int().min(100).max(60_000).default(2_000),
    /** For each attempt to connect to a server. */
    connectTimeoutMs: z.number().int().min(100).max(60_000).default(2_000),
    /** Where the engine listens: unix:PATH or tcp://HOST:PORT. */
    engine: z.string(),
    /** Folder of what the agent keeps across restarts. */
    stateDirectory: z.string().min(1),
    /** Time between two reports where nothing changes. */
    reportIntervalMs: z.number().int().min(10).max(60_000).default(1_000),
    /** An engine that has not staged a version by then has said nothing about it. */
    stageDeadlineMs: z.number().int().min(100).max(3_600_000).default(120_000),
    /** For every other command to the engine. */
    commandDeadlineMs: z.number().int().min(100).max(600_000).default(10_000),
    /** For a question to the leader. */
    questionDeadlineMs: z.number().int().min(100).max(60_000).default(2_000),
    /** Asked to stop, the agent first has its engine leave the group, which goes on without it. */
    leaveOnStop: z.boolean().default(false),
    /** It stops then whether its engine has left or not. */
    leaveDeadlineMs: z.number().int().min(100).max(3_600_000).default(60_000),
  })
  .strict();

export type AgentSettings = Readonly<z.infer<typeof agentSettingsSchema>>;

/** @throws IsobarError ISOBAR_AGENT_SETTINGS naming file and field; ISOBAR_ENGINE_ADDRESS */
export async function readSettings(path: string): Promise<AgentSettings> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw refuse(path, '', 'it can not be read as JSON', cause);
  }
  const parsed = agentSettingsSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw refuse(path, issue?.path.join('.') ?? '', issue?.message ?? 'invalid');
  }
  parseEngineAddress(parsed.data.engine);
  return parsed.data;
}

function refuse(path: string, field: string, why: string, cause?: unknown): IsobarError {
  const text = `agent settings ${path}${field === '' ? '' : `, field ${field}`}: ${why}`;
  return new IsobarError('ISOBAR_AGENT_SETTINGS', text, { path, field }, { cause });
}

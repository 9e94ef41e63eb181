import {
  deploymentSchema,
  type EngineDescription,
  IsobarError,
  incarnationSchema,
  rankSchema,
  schemaField,
} from '@isobar/protocol';
import { z } from 'zod';

const portVersionSchema = z.number().int().min(1).max(65_535);

/** Lowest and highest version of the port that somebody speaks. */
const portVersionsSchema = z
  .tuple([portVersionSchema, portVersionSchema])
  .refine(([lowest, highest]) => lowest <= highest, 'must be the lowest and the highest version');
export type PortVersions = Readonly<z.infer<typeof portVersionsSchema>>;

/** What this package speaks. */
export const portVersions: PortVersions = [1, 1];

/** Largest greeting that an engine reads: who it is from is not known before. */
export const greetingBytesMax = 4_096;

/** The first frame of every connection, the agent's. Of one form in every version of the port. */
export const agentGreetingSchema = z.object({
  ...schemaField,
  kind: z.literal('greeting'),
  deployment: deploymentSchema,
  rank: rankSchema,
  /** Drawn by the agent's process when it starts: tells agents of one rank apart. */
  agent: incarnationSchema,
  portVersions: portVersionsSchema,
});
export type AgentGreeting = Readonly<z.infer<typeof agentGreetingSchema>>;

/** Who an agent is, as it says in its greeting. */
export type AgentIdentity = Pick<AgentGreeting, 'deployment' | 'rank' | 'agent'>;

/** The version to be spoken on the connection, as the hello names it. */
export const chosenVersionSchema = portVersionSchema.refine(
  (version) => portVersions[0] <= version && version <= portVersions[1],
  `must be a version of the port from ${portVersions[0]} to ${portVersions[1]}`,
);

/**
 * Whether an engine takes the agent that greets it.
 * @returns the highest version that both speak
 * @throws IsobarError ISOBAR_ENGINE_WRONG_AGENT naming the `field`; ISOBAR_ENGINE_PORT_VERSION
 */
export function admitAgent(
  greeting: AgentGreeting,
  engine: Pick<EngineDescription, 'deployment' | 'rank'>,
): number {
  for (const field of ['deployment', 'rank'] as const) {
    if (greeting[field] === engine[field]) continue;
    const text = `the agent is of ${field} ${greeting[field]}, the engine of ${field} ${engine[field]}`;
    const fields = { field, agent: greeting.agent, told: greeting[field], own: engine[field] };
    throw new IsobarError('ISOBAR_ENGINE_WRONG_AGENT', text, fields);
  }
  const [lowest, highest] = greeting.portVersions;
  const version = Math.min(highest, portVersions[1]);
  if (version >= Math.max(lowest, portVersions[0])) return version;
  const text = `the agent speaks versions ${lowest} to ${highest} of the port, the engine ${portVersions[0]} to ${portVersions[1]}`;
  const fields = {
    agent: greeting.agent,
    agentSpeaks: [lowest, highest],
    engineSpeaks: portVersions,
  };
  throw new IsobarError('ISOBAR_ENGINE_PORT_VERSION', text, fields);
}

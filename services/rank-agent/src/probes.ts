import type { Bus, Intake } from '@isobar/bus';
import { softwareVersion } from '@isobar/protocol';
import {
  flagReading,
  type Metric,
  Metrics,
  numberReading,
  processMetrics,
  type Reading,
} from '@isobar/telemetry';
import type { RankAgent } from './rank-agent.js';

/** What an agent's process has by now. */
export interface ProcessParts {
  readonly bus: Bus | null;
  readonly agent: RankAgent | null;
  readonly intake: Intake;
}

/** What it lacks to do its work. The engine serves on without any of it. */
export function lackingOf({ bus, agent }: ProcessParts): string[] {
  const lacking = bus?.connected === true ? [] : ['a NATS server'];
  if (agent === null) return [...lacking, 'its state'];
  if (agent.isDiskFull) lacking.push('space for its state');
  if (agent.engine === null) lacking.push('its engine');
  return lacking;
}

export function agentMetrics(
  fields: Readonly<Record<string, string>>,
  parts: () => ProcessParts,
): Metrics<ProcessParts> {
  return new Metrics(fields, parts, agentMetricTable);
}

/** Every metric of an agent. */
export const agentMetricTable: readonly Metric<ProcessParts>[] = [
  ...processMetrics(softwareVersion),
  {
    name: 'isobar_agent_engine_connected',
    help: 'Whether the engine of the rank is connected.',
    kind: 'gauge',
    read: ({ agent }) => flagReading(agent !== null && agent.engine !== null),
  },
  {
    name: 'isobar_agent_mapping_version',
    help: 'Version that the engine routes by.',
    kind: 'gauge',
    read: ({ agent }) => ofEngine(agent, ({ mappingVersion }) => mappingVersion),
  },
  {
    name: 'isobar_agent_step',
    help: 'Step of the engine, a counter of its group.',
    kind: 'gauge',
    read: ({ agent }) => ofEngine(agent, ({ step }) => step),
  },
  {
    name: 'isobar_agent_free_buffers',
    help: 'Spare buffers of the engine that hold nothing.',
    kind: 'gauge',
    read: ({ agent }) => ofEngine(agent, ({ freeBuffers }) => freeBuffers),
  },
  {
    name: 'isobar_agent_disk_full',
    help: 'Whether the state waits for space on the disk: the agent then speaks for no engine.',
    kind: 'gauge',
    read: ({ agent }) => flagReading(agent?.isDiskFull === true),
  },
];

function ofEngine(
  agent: RankAgent | null,
  select: (engine: NonNullable<RankAgent['engine']>) => number | null,
): Reading[] {
  const engine = agent?.engine ?? null;
  return numberReading(engine === null ? null : select(engine));
}

import { type AgentPlace, agentPlace, type LoadedConfiguration } from '@isobar/configuration';

/** What one rank's agent takes of a deployment's configuration. */
export interface AgentSettings extends AgentPlace, AgentTimings {
  readonly deployment: string;
  readonly rank: number;
  readonly leaveOnStop: boolean;
  readonly leaveDeadlineMs: number;
}

/** What can change while it runs. */
export interface AgentTimings {
  readonly reportIntervalMs: number;
  readonly stageDeadlineMs: number;
  readonly commandDeadlineMs: number;
  readonly questionDeadlineMs: number;
}

/** @throws IsobarError ISOBAR_CONFIGURATION_RANK; TopologyError */
export async function settingsOf(
  loaded: LoadedConfiguration,
  rank: number,
): Promise<AgentSettings> {
  const { deployment, agent } = loaded.configuration;
  const { leaveOnStop, leaveDeadlineMs } = agent;
  const fixed = { deployment, rank, leaveOnStop, leaveDeadlineMs };
  return { ...fixed, ...timingsOf(loaded), ...(await agentPlace(loaded, rank)) };
}

export function timingsOf({ configuration }: LoadedConfiguration): AgentTimings {
  const { agent } = configuration;
  const { reportIntervalMs, stageDeadlineMs, commandDeadlineMs, questionDeadlineMs } = agent;
  return { reportIntervalMs, stageDeadlineMs, commandDeadlineMs, questionDeadlineMs };
}

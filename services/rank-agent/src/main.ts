import { awaitBus, type Bus, Intake, onTermination, readNatsContext } from '@isobar/bus';
import {
  agentArguments,
  contextOf,
  discoverAgentRank,
  discoverGpus,
  gpuOf,
  LiveConfiguration,
  localRankIn,
  originOf,
  placeWithoutGpu,
  rankOf,
  reloadOnHangUp,
} from '@isobar/configuration';
import type { RankPlace } from '@isobar/protocol';
import { createLogger, type Logger, openProbes } from '@isobar/telemetry';
import { DurableStateFile } from './durable-state-file.js';
import { agentMetrics, lackingOf } from './probes.js';
import { ProcessWitness } from './process-witness.js';
import { RankAgent } from './rank-agent.js';
import { settingsOf, timingsOf } from './settings.js';

const stopDeadlineMs = 10_000;

/** `main.js --config FILE [--rank N]`: the agent of one rank, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const { file: path, rank: argument } = agentArguments(process.argv.slice(2));
  const live = await LiveConfiguration.load(path, process.env, 'coordinator');
  const discovery = await discoverAgentRank(live.current, argument, process.env);
  const rank = rankOf(discovery);
  const settings = await settingsOf(live.current, rank);
  const { deployment, stateDirectory } = settings;
  const { nats, log } = live.current.configuration;
  const { servers, pingIntervalMs, connectTimeoutMs, refusalPeriodMs } = nats;
  const { level } = log;
  const logger = createLogger({ name: 'rank-agent', level, fields: { deployment, rank } });
  for (const problem of discovery.problems) logger.warn({ err: problem }, 'rank');
  const place = placeWithoutGpu(process.env, localRankIn(discovery));
  const intake = new Intake({ deployment, logger, periodMs: refusalPeriodMs });
  const stopping = new AbortController();
  let bus: Bus | null = null;
  let agent: RankAgent | null = null;
  let file: DurableStateFile | null = null;
  const parts = () => ({ bus, agent, intake });
  const probes = await openProbes(settings.httpListen, {
    lacking: () => lackingOf(parts()),
    metrics: agentMetrics({ deployment, rank: `${rank}` }, parts),
    logger,
  });
  onTermination(
    async () => {
      stopping.abort();
      if (settings.leaveOnStop) await agent?.leave();
      await agent?.stop();
      await bus?.drain();
      await file?.close();
      await probes?.close();
    },
    {
      deadlineMs: stopDeadlineMs + (settings.leaveOnStop ? settings.leaveDeadlineMs : 0),
      onFailure: (cause) => logger.error({ err: cause }, 'stopping'),
    },
  );
  reloadOnHangUp(live, {
    logger,
    apply: (next) => {
      logger.level = next.configuration.log.level;
      agent?.useTimings(timingsOf(next));
    },
  });
  const context = contextOf(live.current, `agent-${rank}`);
  bus = await awaitBus(
    {
      servers,
      ...(context === null ? {} : { context: await readNatsContext(context) }),
      pingIntervalMs,
      connectTimeoutMs,
      name: `isobar agent ${deployment} ${rank}`,
      onError: (error) => {
        if (!intake.takeBusError(error)) logger.error({ err: error }, 'bus');
      },
      onStatus: (status) => logger.warn({ status }, 'bus status'),
    },
    (error) => logger.error({ err: error }, 'waiting for a NATS server'),
    stopping.signal,
  );
  const witness = new ProcessWitness();
  file = await DurableStateFile.open({ directory: stateDirectory, deployment, rank, witness });
  agent = await RankAgent.start({
    settings: { ...settings, ...timingsOf(live.current) },
    bus,
    intake,
    file,
    witness,
    logger,
    origin: originOf(discovery),
    place,
    onFailure: (error) => {
      logger.fatal({ err: error }, 'agent failed');
      process.exit(1);
    },
  });
  logger.info({ source: discovery.found?.source, place }, 'serving');
  agent.usePlace(await withGpu(place, logger));
}

/** It may take its time, and no rank waits for it. */
async function withGpu(place: RankPlace, logger: Logger): Promise<RankPlace> {
  const { gpus, notes } = await discoverGpus(process.env, place.node);
  for (const note of notes) logger.warn(note);
  const gpu = gpuOf(gpus, process.env, place.localRank);
  if (gpus.length > 0) logger.info({ gpus: gpus.length, gpu }, 'GPUs found');
  return { ...place, gpu };
}

await main().catch((error: unknown) => {
  // Asked to stop while it waited for a server: `onTermination` ends the process.
  if (error instanceof Error && error.name === 'AbortError') return;
  // The level may be what is wrong.
  const logger = createLogger({ name: 'rank-agent', level: 'info' });
  logger.fatal({ err: error }, 'agent failed');
  process.exit(1);
});

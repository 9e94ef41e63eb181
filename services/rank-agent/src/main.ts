import { awaitBus, type Bus, Intake, onTermination, readNatsContext } from '@isobar/bus';
import {
  agentArguments,
  contextOf,
  LiveConfiguration,
  reloadOnHangUp,
} from '@isobar/configuration';
import { createLogger, openProbes } from '@isobar/telemetry';
import { DurableStateFile } from './durable-state-file.js';
import { agentMetrics, lackingOf } from './probes.js';
import { ProcessWitness } from './process-witness.js';
import { RankAgent } from './rank-agent.js';
import { settingsOf, timingsOf } from './settings.js';

const stopDeadlineMs = 10_000;

/** `main.js --config FILE --rank N`: the agent of one rank, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const { file: path, rank } = agentArguments(process.argv.slice(2), process.env);
  const live = await LiveConfiguration.load(path, process.env, 'coordinator');
  const settings = await settingsOf(live.current, rank);
  const { deployment, stateDirectory } = settings;
  const { nats, log } = live.current.configuration;
  const { servers, pingIntervalMs, connectTimeoutMs, refusalPeriodMs } = nats;
  const { level } = log;
  const logger = createLogger({ name: 'rank-agent', level, fields: { deployment, rank } });
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
    onFailure: (error) => {
      logger.fatal({ err: error }, 'agent failed');
      process.exit(1);
    },
  });
  logger.info('serving');
}

await main().catch((error: unknown) => {
  // Asked to stop while it waited for a server: `onTermination` ends the process.
  if (error instanceof Error && error.name === 'AbortError') return;
  // The level may be what is wrong.
  const logger = createLogger({ name: 'rank-agent', level: 'info' });
  logger.fatal({ err: error }, 'agent failed');
  process.exit(1);
});

import { awaitBus, type Bus, Intake, onTermination, readNatsContext } from '@isobar/bus';
import {
  contextOf,
  coordinatorArguments,
  coordinatorListen,
  LiveConfiguration,
  reloadOnHangUp,
} from '@isobar/configuration';
import { createLogger, openProbes } from '@isobar/telemetry';
import { readTopology } from '@isobar/topology';
import { Coordinator } from './coordinator.js';
import { coordinatorMetrics, lackingOf } from './probes.js';
import { settingsOf } from './settings.js';

const stopDeadlineMs = 10_000;

/** `main.js --config FILE`: a coordinator of one deployment, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const { file } = coordinatorArguments(process.argv.slice(2));
  const live = await LiveConfiguration.load(file, process.env, 'agent');
  const { configuration } = live.current;
  const { topology: given } = configuration;
  const topology = typeof given === 'string' ? await readTopology(given) : given;
  const { deployment, servers, holder, pingIntervalMs, connectTimeoutMs, refusalPeriodMs } =
    settingsOf(configuration);
  const { level } = configuration.log;
  const logger = createLogger({ name: 'coordinator', level, fields: { deployment } });
  const intake = new Intake({ deployment, logger, periodMs: refusalPeriodMs });
  const stopping = new AbortController();
  let bus: Bus | null = null;
  let coordinator: Coordinator | null = null;
  const parts = () => ({ bus, coordinator, intake });
  const probes = await openProbes(coordinatorListen(live.current), {
    lacking: () => lackingOf(parts()),
    metrics: coordinatorMetrics({ deployment, holder }, parts),
    logger,
  });
  onTermination(
    async () => {
      stopping.abort();
      await coordinator?.stop();
      await bus?.drain();
      await probes?.close();
    },
    { deadlineMs: stopDeadlineMs, onFailure: (cause) => logger.error({ err: cause }, 'stopping') },
  );
  reloadOnHangUp(live, {
    logger,
    accept: (next) => coordinator?.parameters.assertAcceptable(next),
    apply: (next) => {
      logger.level = next.configuration.log.level;
      coordinator?.reconfigure(next);
    },
  });
  const context = contextOf(live.current, holder);
  bus = await awaitBus(
    {
      servers,
      ...(context === null ? {} : { context: await readNatsContext(context) }),
      pingIntervalMs,
      connectTimeoutMs,
      name: `isobar coordinator ${deployment} ${holder}`,
      onError: (error) => {
        if (!intake.takeBusError(error)) logger.error({ err: error }, 'bus');
      },
      onStatus: (status) => logger.warn({ status }, 'bus status'),
    },
    (error) => logger.error({ err: error }, 'waiting for a NATS server'),
    stopping.signal,
  );
  coordinator = new Coordinator({
    configuration: live.current,
    topology,
    bus,
    intake,
    logger,
    onFailure: (error) => {
      logger.fatal({ err: error }, 'coordinator failed');
      process.exit(1);
    },
  });
  await coordinator.start();
}

await main().catch((error: unknown) => {
  // Asked to stop while it waited: `onTermination` ends the process.
  if (error instanceof Error && error.name === 'AbortError') return;
  // The level may be what is wrong.
  const logger = createLogger({ name: 'coordinator', level: 'info' });
  logger.fatal({ err: error }, 'coordinator failed');
  process.exit(1);
});

import { awaitBus, type Bus, Intake, onTermination, readNatsContext } from '@isobar/bus';
import { createLogger } from '@isobar/telemetry';
import { readTopology } from '@isobar/topology';
import { Coordinator } from './coordinator.js';
import { readSettings } from './settings.js';

const stopDeadlineMs = 10_000;

/** `main.js SETTINGS.json`: a coordinator of one deployment, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const [path] = process.argv.slice(2);
  if (path === undefined) throw new Error('usage: main.js SETTINGS.json');
  const settings = await readSettings(path);
  const topology = await readTopology(settings.topology);
  const { deployment, servers, holder, pingIntervalMs, connectTimeoutMs } = settings;
  const logger = createLogger({ name: 'coordinator', fields: { deployment } });
  const intake = new Intake({ deployment, logger, periodMs: settings.refusalPeriodMs });
  const stopping = new AbortController();
  let bus: Bus | null = null;
  let coordinator: Coordinator | null = null;
  onTermination(
    async () => {
      stopping.abort();
      await coordinator?.stop();
      await bus?.drain();
    },
    { deadlineMs: stopDeadlineMs, onFailure: (cause) => logger.error({ err: cause }, 'stopping') },
  );
  bus = await awaitBus(
    {
      servers,
      ...(settings.context === undefined
        ? {}
        : { context: await readNatsContext(settings.context) }),
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
    settings,
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
  createLogger({ name: 'coordinator' }).fatal({ err: error }, 'coordinator failed');
  process.exit(1);
});

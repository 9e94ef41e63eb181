import { awaitBus, type Bus, onTermination, readNatsContext } from '@isobar/bus';
import { createLogger } from '@isobar/telemetry';
import { DurableStateFile } from './durable-state-file.js';
import { ProcessWitness } from './process-witness.js';
import { RankAgent } from './rank-agent.js';
import { readSettings } from './settings.js';

const stopDeadlineMs = 10_000;

/** `main.js SETTINGS.json`: the agent of one rank, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const [path] = process.argv.slice(2);
  if (path === undefined) throw new Error('usage: main.js SETTINGS.json');
  const settings = await readSettings(path);
  const { deployment, rank, servers, stateDirectory, pingIntervalMs, connectTimeoutMs } = settings;
  const logger = createLogger({ name: 'rank-agent', fields: { deployment, rank } });
  const stopping = new AbortController();
  let bus: Bus | null = null;
  let agent: RankAgent | null = null;
  let file: DurableStateFile | null = null;
  onTermination(
    async () => {
      stopping.abort();
      if (settings.leaveOnStop) await agent?.leave();
      await agent?.stop();
      await bus?.drain();
      await file?.close();
    },
    {
      deadlineMs: stopDeadlineMs + (settings.leaveOnStop ? settings.leaveDeadlineMs : 0),
      onFailure: (cause) => logger.error({ err: cause }, 'stopping'),
    },
  );
  bus = await awaitBus(
    {
      servers,
      ...(settings.context === undefined
        ? {}
        : { context: await readNatsContext(settings.context) }),
      pingIntervalMs,
      connectTimeoutMs,
      name: `isobar agent ${deployment} ${rank}`,
      onError: (error) => logger.error({ err: error }, 'bus'),
      onStatus: (status) => logger.warn({ status }, 'bus status'),
    },
    (error) => logger.error({ err: error }, 'waiting for a NATS server'),
    stopping.signal,
  );
  const witness = new ProcessWitness();
  file = await DurableStateFile.open({ directory: stateDirectory, deployment, rank, witness });
  agent = await RankAgent.start({
    settings,
    bus,
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
  createLogger({ name: 'rank-agent' }).fatal({ err: error }, 'agent failed');
  process.exit(1);
});

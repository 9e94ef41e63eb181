import { createLogger } from '@isobar/telemetry';
import { ReferenceEngine } from './reference-engine.js';
import { readSettings } from './settings.js';

/** `main.js SETTINGS.json`: one rank of the reference engine, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const [path] = process.argv.slice(2);
  if (path === undefined) throw new Error('usage: main.js SETTINGS.json');
  const settings = await readSettings(path);
  const logger = createLogger({ name: 'reference-engine', fields: { rank: settings.rank } });
  const engine = await ReferenceEngine.load(settings, logger);
  process.on('SIGTERM', () => {
    if (settings.leaveOnStop) engine.leave(() => process.exit(1));
    else engine.stop();
  });
  process.on('SIGUSR2', () => void engine.readOffer());
  // A terminal's Ctrl-C reaches every process of the group; the harness ends the engines itself.
  process.on('SIGINT', () => undefined);
  await engine.run();
}

await main().catch((error: unknown) => {
  createLogger({ name: 'reference-engine' }).fatal({ err: error }, 'engine failed');
  process.exitCode = 1;
  // Sockets and timers of a half-started engine would keep the process alive.
  process.exit();
});

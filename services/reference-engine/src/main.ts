import { parseArgs } from 'node:util';
import { createLogger } from '@isobar/telemetry';
import { prepareModel } from './prepare-model.js';
import { ReferenceEngine } from './reference-engine.js';
import { type EngineSettings, readSettings } from './settings.js';

const usage = 'SETTINGS.json [--rank N], or prepare SETTINGS.json';

/**
 * `main.js SETTINGS.json [--rank N]`: one rank of the reference engine, until SIGTERM or SIGINT.
 * `main.js prepare SETTINGS.json`: draws the model that the settings name, and traffic for it.
 */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { rank: { type: 'string' } },
    allowPositionals: true,
  });
  const [path, model] = positionals;
  if (path === undefined) throw new Error(`usage: ${usage}`);
  if (path === 'prepare' && model !== undefined) await prepareModel(await readSettings(model));
  else await serve(await readSettings(path, values.rank));
}

async function serve(settings: EngineSettings): Promise<void> {
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

import { parseArgs } from 'node:util';
import { defaultListen, probeUrl } from './health.js';

const deadlineMs = 3_000;

/** `health.js [--ready] [HOST:PORT]`: ends with 0 where the service there lives, or is ready; else with 1 and why not. */
async function isWell(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    options: { ready: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const listen = positionals[0] ?? process.env.ISOBAR_HTTP_LISTEN ?? defaultListen;
  try {
    const url = probeUrl(listen, values.ready ? 'readyz' : 'livez');
    const answer = await fetch(url, { signal: AbortSignal.timeout(deadlineMs) });
    const text = await answer.text();
    process.stdout.write(`${answer.status} ${text.trim()}\n`);
    return answer.ok;
  } catch (error) {
    const why = error instanceof Error ? (error.cause ?? error) : error;
    process.stdout.write(`nothing at ${listen}: ${why}\n`);
    return false;
  }
}

process.exitCode = (await isWell()) ? 0 : 1;

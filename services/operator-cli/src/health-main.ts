import { defaultListen, readinessUrl } from './health.js';

const deadlineMs = 3_000;

/** `health.js [HOST:PORT]`: ends with 0 where the service there is ready, else with 1 and why not. */
async function isReady(): Promise<boolean> {
  const listen = process.argv[2] ?? process.env.ISOBAR_HTTP_LISTEN ?? defaultListen;
  try {
    const url = readinessUrl(listen);
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

process.exitCode = (await isReady()) ? 0 : 1;

import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';

const run = promisify(execFile);
const outputBytesMax = 64 * 1024 * 1024;
const commandDeadlineMs = 120_000;

/**
 * Standard output of `docker` with these arguments, without the last line's end.
 * @throws Error with what it wrote to standard error
 */
export async function docker(...args: string[]): Promise<string> {
  return (await runTool('docker', args)).stdout.trimEnd();
}

export async function runTool(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  deadlineMs = commandDeadlineMs,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const env = { ...process.env, ...environment };
  return run(command, [...args], { env, maxBuffer: outputBytesMax, timeout: deadlineMs });
}

const imageSchema = z.object({
  Id: z.string(),
  Size: z.number(),
  Config: z.object({
    User: z.string(),
    Entrypoint: z.array(z.string()),
    Cmd: z.array(z.string()).nullable(),
    Env: z.array(z.string()),
    Labels: z.record(z.string(), z.string()).nullable(),
    StopSignal: z.string().optional(),
    Healthcheck: z.object({ Test: z.array(z.string()) }).optional(),
  }),
  RootFS: z.object({ Layers: z.array(z.string()) }),
});

export async function inspectImage(name: string): Promise<z.infer<typeof imageSchema>> {
  const [found] = z.array(imageSchema).parse(JSON.parse(await docker('image', 'inspect', name)));
  if (found === undefined) throw new Error(`there is no image ${name}`);
  return found;
}

const containerSchema = z.object({
  Name: z.string(),
  Config: z.object({ Image: z.string() }),
  State: z.object({
    Running: z.boolean(),
    ExitCode: z.number(),
    OOMKilled: z.boolean(),
    StartedAt: z.string(),
    FinishedAt: z.string(),
    Health: z.object({ Status: z.string() }).optional(),
  }),
});
export type Container = z.infer<typeof containerSchema>;

export async function inspectContainer(name: string): Promise<Container> {
  const text = await docker('container', 'inspect', name);
  const [found] = z.array(containerSchema).parse(JSON.parse(text));
  if (found === undefined) throw new Error(`there is no container ${name}`);
  return found;
}

// A look may be a process of its own: more of them take the time that they wait for.
const lookAgainMs = 500;

/**
 * Looks until what it looks for is there.
 * @param look null while it is not
 * @throws Error that says what was awaited, and what was seen last
 */
export async function awaitState<T>(
  what: string,
  deadlineMs: number,
  look: () => Promise<T | null>,
  lastSeen: () => string = () => '',
): Promise<T> {
  const startedMs = performance.now();
  for (;;) {
    const found = await look();
    const passedMs = performance.now() - startedMs;
    if (found !== null) {
      process.stdout.write(`${what}: after ${(passedMs / 1_000).toFixed(1)} s\n`);
      return found;
    }
    if (passedMs > deadlineMs) {
      throw new Error(`${what} has not come within ${deadlineMs} ms; ${lastSeen()}`);
    }
    await delay(lookAgainMs);
  }
}

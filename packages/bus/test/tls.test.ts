import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createAuthenticationSet } from '@isobar/auth';
import { connectBus, readNatsContext } from '@isobar/bus';
import { ProcessGuard, startNatsServer } from '@isobar/testing';
import { afterAll, describe, expect, it } from 'vitest';

const guard = new ProcessGuard();
afterAll(() => guard.close());

/** Connects to a server on 127.0.0.1 whose certificate is for `certified`, by the name `host`. */
async function tryConnection(certified: string, host: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-tls-'));
  guard.removeAtEnd(directory);
  const { files } = await createAuthenticationSet({
    kind: 'password',
    deployment: 'demo',
    numRanks: 1,
    numCoordinators: 1,
    operators: [],
    viewers: [],
    hosts: [certified],
    port: 4_222,
    routes: [],
    storeDirectory: join(directory, 'store'),
    installedAt: directory,
    validDays: 1,
    authority: null,
  });
  for (const [path, content] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true, mode: 0o700 });
    await writeFile(join(directory, path), content, { mode: 0o600 });
  }
  const configuration = join(directory, 'server', 'nats-server.conf');
  const server = await startNatsServer({ directory, guard, configuration });
  try {
    const bus = await connectBus({
      servers: [`nats://${host}:${server.port}`],
      name: 'test',
      context: await readNatsContext(join(directory, 'agent-0', 'context.json')),
      onError: () => undefined,
    });
    await bus.close();
    return 'connected';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  } finally {
    await server.stop();
  }
}

describe('a server', () => {
  it.each([
    ['localhost', 'localhost'],
    ['127.0.0.1', '127.0.0.1'],
  ])('is believed to be %s by its certificate', async (certified, host) => {
    expect(await tryConnection(certified, host)).toBe('connected');
  });

  it.each([
    ['localhost', '127.0.0.1'],
    ['127.0.0.1', 'localhost'],
    ['nats.internal', 'localhost'],
  ])('of %s does not pass for %s', async (certified, host) => {
    expect(await tryConnection(certified, host)).toBe('ISOBAR_BUS_UNREACHABLE');
  });
});

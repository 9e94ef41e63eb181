import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuthenticationKind, accountsFileName } from '@isobar/auth';
import { contextOf, loadConfiguration } from '@isobar/configuration';
import { commandNames, operatorsAccount } from '@isobar/protocol';
import { connect, usernamePasswordAuthenticator } from 'nats';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runIsobar } from './run-isobar.js';
import { noTokenWrong, SmallCluster, smallDemo } from './small-cluster.js';

const numCoordinators = 2;
let small: SmallCluster | null = null;

afterEach(async () => {
  await small?.close();
  small = null;
});

/** Credentials as an operator makes them, by the command line. */
async function initialise(kind: AuthenticationKind, folder: string, store: string): Promise<void> {
  const people = ['--operator', 'alice', '--viewer', 'grafana'];
  const sizes = ['--kind', kind, '--ranks', String(smallDemo.ranks), '--store', store];
  sizes.push('--coordinators', String(numCoordinators));
  const made = await runIsobar('-d', 'demo', 'auth', 'init', folder, ...sizes, ...people);
  expect(made.code, made.stderr).toBe(0);
}

async function startSecured(
  kind: AuthenticationKind,
  adapt: (folder: string) => Promise<void> = async () => undefined,
): Promise<SmallCluster> {
  return SmallCluster.start({
    nats: { operatorsAccount: operatorsAccount('demo') },
    numCoordinators,
    client: 'credentials/operator-alice/context.json',
    secure: async (folder, store) => {
      await initialise(kind, folder, store);
      await adapt(folder);
      return {
        serverConfiguration: join(folder, 'server', 'nats-server.conf'),
        contextOf: (name) => join(folder, name, 'context.json'),
      };
    },
  });
}

function isobarAs({ cluster }: SmallCluster, who: string, ...args: string[]) {
  const context = join(cluster.directory, 'credentials', who, 'context.json');
  return runIsobar('-c', context, '-s', cluster.natsUrl, '-d', 'demo', ...args);
}

describe.each(['password', 'tls'] as const)('a cluster with %s', (kind) => {
  it('balances itself, obeys its operator alone, and records who commanded', async () => {
    const running = await startSecured(kind);
    small = running;
    await running.committed(2);

    const seen = await isobarAs(running, 'viewer-grafana', 'status', '--json');
    expect(seen.code, seen.stderr).toBe(0);
    const refused = await isobarAs(running, 'viewer-grafana', 'pause', '--yes');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('ISOBAR_BUS_NOT_PERMITTED');
    const posing = await isobarAs(running, 'agent-0', 'pause', '--yes');
    expect(posing.stderr).toContain('ISOBAR_BUS_NOT_PERMITTED');
    const unknown = await runIsobar('-s', running.cluster.natsUrl, '-d', 'demo', 'status');
    expect(unknown.code).not.toBe(0);
    expect(running.events.filter((event) => event.kind === 'command')).toEqual([]);

    const paused = await isobarAs(running, 'operator-alice', 'pause', '--json', '--yes');
    expect(paused.stdout, paused.stderr).toContain('"paused":true');
    const asked = await running.event((event) => event.kind === 'command');
    expect(asked).toMatchObject({ command: 'pause', outcome: 'dry-run' });
    const command = await running.event((event) => event.outcome === 'done');
    const user = kind === 'tls' ? 'CN=operator-alice.demo' : 'operator-alice.demo';
    expect(command).toMatchObject({
      command: 'pause',
      outcome: 'done',
      requester: { verified: true, account: operatorsAccount('demo'), user },
    });

    // Nothing waits for approval where balancing is automatic.
    expect((await isobarAs(running, 'operator-alice', 'approve', '--yes')).code).toBe(1);
    await expect(running.client.ask('approve', {})).rejects.toThrow('NO_PLAN');
    const approval = await running.event(
      ({ command: name, outcome }) => name === 'approve' && outcome === 'refused',
    );
    const code = 'ISOBAR_COORDINATOR_NO_PLAN';
    expect(approval).toMatchObject({ outcome: 'refused', code, requester: { user } });

    for (const who of ['operator-alice', 'viewer-grafana']) {
      const history = await isobarAs(running, who, 'history', '--json');
      expect(history.code, history.stderr).toBe(0);
      const lines = history.stdout.trim().split('\n');
      expect(lines.map((line) => JSON.parse(line))).toContainEqual(
        expect.objectContaining(approval),
      );
    }
    expect((await isobarAs(running, 'agent-0', 'history')).stderr).toContain(
      'ISOBAR_BUS_NOT_PERMITTED',
    );

    await expectDiagnosis(running, 'operator-alice', 'ok');
    await expectDiagnosis(running, 'viewer-grafana', 'warn');
    await expectOwnIdentities(running);
    await expectNoSecretTold(running);
    expect(await running.conclude()).toMatchObject(noTokenWrong);
  });
});

describe('what the server does not permit', () => {
  it('is told by the process that it is kept from, counted by the leader, and alarmed', async () => {
    const running = await startSecured('password', async (folder) => {
      const path = join(folder, 'server', accountsFileName('demo'));
      const accounts = await readFile(path, 'utf8');
      const without = accounts.replace('"isobar.v1.demo.load.1"', '"isobar.v1.demo.load.none"');
      expect(without).not.toBe(accounts);
      await writeFile(path, without);
    });
    small = running;
    const alarm = await running.event((event) => event.alarm === 'messages-refused');
    const refusal = { source: 'rank 1', kind: 'load', reason: 'not-permitted' };
    expect(alarm).toMatchObject({ refused: [refusal] });
    expect(await running.status()).toMatchObject({ refusals: [refusal] });
    const shown = await isobarAs(running, 'viewer-grafana', 'status');
    expect(shown.stdout).toMatch(/rank 1: \d+ × load, not-permitted: /);
    const log = await readFile(running.cluster.process('agent-1').logPath, 'utf8');
    expect(log).toMatch(/"message":"load","reason":"not-permitted".*"msg":"message refused"/);
  });
});

describe('a micro service', () => {
  it('offers the commands that the table of permissions knows, to clients that find it', async () => {
    const running = await startSecured('password');
    small = running;
    await running.committed(1);
    const { user, password, ca, inbox_prefix } = await readContext(running, 'operator-alice');
    const client = await connect({
      servers: running.cluster.natsUrl,
      inboxPrefix: inbox_prefix,
      authenticator: usernamePasswordAuthenticator(user, password),
      tls: { caFile: ca },
    });
    try {
      const services = await client.services.client().info('isobar-demo');
      const offered: string[] = [];
      for await (const { endpoints } of services) {
        offered.push(...endpoints.map(({ name }) => name));
      }
      expect(offered.sort()).toEqual([...commandNames].sort());
    } finally {
      await client.close();
    }
  });
});

const passwordContextSchema = z.object({
  user: z.string(),
  password: z.string(),
  ca: z.string(),
  inbox_prefix: z.string(),
});

async function readContext({ cluster }: SmallCluster, who: string) {
  const path = join(cluster.directory, 'credentials', who, 'context.json');
  return passwordContextSchema.parse(JSON.parse(await readFile(path, 'utf8')));
}

/** Nothing is wrong, and the doctor knows what its credentials may do. */
async function expectDiagnosis(running: SmallCluster, who: string, command: string) {
  const { code, stdout, stderr } = await isobarAs(running, who, 'doctor', '--json');
  expect([code, stderr], stdout).toEqual([0, '']);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; verdict: string }[] };
  const verdicts = Object.fromEntries(checks.map(({ name, verdict }) => [name, verdict]));
  expect(verdicts).toMatchObject({
    'may look': 'ok',
    'may command': command,
    'may read events': 'ok',
    'account limits': 'skip',
    'event stream': 'ok',
    records: 'ok',
  });
}

/** Nobody uses the identity of another process: answers to one would reach the other. */
async function expectOwnIdentities({ cluster }: SmallCluster): Promise<void> {
  const configuration = await loadConfiguration(cluster.configurationPath, {});
  for (const name of ['agent-0', 'agent-1', 'coordinator-0', 'coordinator-1']) {
    const path = join(cluster.directory, 'credentials', name, 'context.json');
    expect(contextOf(configuration, name)).toBe(path);
  }
}

/** Neither logs nor events, arguments nor environments hold anything that is secret. */
async function expectNoSecretTold(running: SmallCluster): Promise<void> {
  const { cluster, events } = running;
  const secrets = await readSecrets(join(cluster.directory, 'credentials'));
  const places = new Map([['events', JSON.stringify(events)]]);
  for (const folder of ['logs', join('nats', 'nats-0')]) {
    for (const file of await readdir(join(cluster.directory, folder))) {
      if (!file.endsWith('.log')) continue;
      places.set(file, await readFile(join(cluster.directory, folder, file), 'utf8'));
    }
  }
  for (const name of ['agent-0', 'agent-1', 'coordinator-0', 'coordinator-1']) {
    const folder = `/proc/${cluster.process(name).pid}`;
    if (!existsSync(folder)) continue;
    for (const file of ['cmdline', 'environ']) {
      places.set(`${file} of ${name}`, await readFile(join(folder, file), 'utf8'));
    }
  }
  for (const [place, text] of places) {
    expect(text.length, place).toBeGreaterThan(0);
    expect(
      secrets.filter((secret) => text.includes(secret)),
      place,
    ).toEqual([]);
  }
}

/** Passwords, seeds, and a line of each private key. */
async function readSecrets(folder: string): Promise<string[]> {
  const secrets: string[] = [];
  for (const path of await readdir(folder, { recursive: true })) {
    if (!/(context\.json|\.nk|key\.pem)$/.test(path)) continue;
    const text = await readFile(join(folder, path), 'utf8');
    if (path.endsWith('.json')) secrets.push(JSON.parse(text).password);
    else secrets.push(text.split('\n').find((line) => !line.startsWith('-----')) ?? '');
  }
  const found = secrets.filter((secret) => secret !== undefined && secret !== '');
  expect(found.length).toBeGreaterThan(smallDemo.ranks);
  return found;
}

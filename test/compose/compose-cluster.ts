import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RankStatus, type StatusAnswer, statusAnswerSchema } from '@isobar/protocol';
import { awaitState, type Container, docker, inspectContainer, runTool } from './docker.js';
import type { DockerGround } from './prepare-engine.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const upDeadlineMs = 110_000;

/** The cluster of docker-compose.yml, under a name of its own. */
export class ComposeCluster {
  readonly #project = `isobar-test-${randomBytes(4).toString('hex')}`;
  readonly #command: readonly string[];
  readonly #environment: Record<string, string>;
  #lastStatus = 'nobody has answered yet';

  private constructor(command: readonly string[], environment: Record<string, string>) {
    this.#command = command;
    this.#environment = environment;
  }

  static async start(ground: DockerGround): Promise<ComposeCluster> {
    const cluster = new ComposeCluster(await composeCommand(), {
      ...ground.environment,
      ISOBAR_IMAGE: ground.isobar,
      REFERENCE_ENGINE_IMAGE: ground.referenceEngine,
      ISOBAR_NATS_PORT: String(await freePort()),
    });
    try {
      await cluster.up();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  async #compose(...args: string[]): Promise<string> {
    const [command = '', ...before] = this.#command;
    const project = ['--file', join(root, 'docker-compose.yml'), '--project-name', this.#project];
    const words = [...before, ...project, ...args];
    return (await runTool(command, words, this.#environment, upDeadlineMs)).stdout;
  }

  /** Asks as people do: by a container of the command line's own. */
  askByCompose(...args: string[]): Promise<string> {
    return this.#compose('run', '--rm', '-T', 'isobar', ...args);
  }

  /** Starts what does not run; services alone where they are named, from another image where it is. */
  async up(services: readonly string[] = [], image?: string): Promise<void> {
    if (image !== undefined) this.#environment.ISOBAR_IMAGE = image;
    const alone = services.length === 0 ? [] : ['--no-deps'];
    await this.#compose('up', '-d', '--no-build', ...alone, ...services);
  }

  /** Asks every container to end, and waits until all have. */
  async stop(): Promise<void> {
    await this.#compose('stop', '--timeout', '20');
  }

  /** Removes all of it. */
  async close(): Promise<void> {
    await this.#compose('down', '--volumes', '--timeout', '5');
  }

  /** The container of a service: compose 2 writes `-` where compose 1 wrote `_`. */
  async #container(service: string): Promise<string> {
    const filters = [
      `label=com.docker.compose.project=${this.#project}`,
      `label=com.docker.compose.service=${service}`,
      'label=com.docker.compose.oneoff=False',
    ].flatMap((filter) => ['--filter', filter]);
    const id = await docker('ps', '-aq', ...filters);
    if (id === '') throw new Error(`there is no container of ${service}`);
    return id;
  }

  async inspect(service: string): Promise<Container> {
    return inspectContainer(await this.#container(service));
  }

  async kill(service: string, signal = 'KILL'): Promise<void> {
    await docker('kill', '--signal', signal, await this.#container(service));
  }

  /** As a platform would a container that was killed. */
  async restart(service: string): Promise<void> {
    await docker('start', await this.#container(service));
  }

  /** Resolves with its exit code once it has ended. */
  async ended(service: string): Promise<number> {
    return Number(await docker('wait', await this.#container(service)));
  }

  async disconnect(service: string): Promise<void> {
    await docker('network', 'disconnect', this.#network, await this.#container(service));
  }

  /** Under the name that others know it by. */
  async reconnect(service: string): Promise<void> {
    const container = await this.#container(service);
    await docker('network', 'connect', '--alias', service, this.#network, container);
  }

  get #network(): string {
    return `${this.#project}_bus`;
  }

  /** Asks as Docker does, but now. */
  async awaitReady(service: string): Promise<void> {
    const container = await this.#container(service);
    const ask = () => docker('exec', container, 'node', '/usr/lib/isobar/health.js', '--ready');
    await awaitState(`${service} being ready`, 60_000, () => ask().catch(() => null));
  }

  /** Waits until it says that it is not ready, and why. */
  async awaitUnready(service: string, why: string): Promise<void> {
    const container = await this.#container(service);
    const ask = () => docker('exec', container, 'node', '/usr/lib/isobar/health.js', '--ready');
    await awaitState(`${service} saying that it ${why}`, 60_000, () =>
      ask().then(
        () => null,
        (error: unknown) =>
          String((error as { stdout?: unknown }).stdout).includes(why) ? true : null,
      ),
    );
  }

  async awaitHealth(service: string): Promise<void> {
    await awaitState(`health of ${service}`, 60_000, async () => {
      const { Health } = (await this.inspect(service)).State;
      return Health?.Status === 'healthy' ? true : null;
    });
  }

  /** The command line of a coordinator's container, with an operator's rights. */
  async #isobar(...args: string[]): Promise<string> {
    const environment = {
      NATS_CONTEXT: '/etc/isobar/credentials/demo/operator-alice/context.json',
      NATS_URL: 'tls://nats-1:4222,tls://nats-2:4222,tls://nats-3:4222',
      ISOBAR_DEPLOYMENT: 'demo',
    };
    const variables = Object.entries(environment).flatMap(([name, value]) => [
      '--env',
      `${name}=${value}`,
    ]);
    const container = await this.#runningCoordinator();
    const words = ['node', '/usr/lib/isobar/isobar.js', '--json', ...args];
    return docker('exec', ...variables, container, ...words);
  }

  async #runningCoordinator(): Promise<string> {
    for (const service of ['coordinator-0', 'coordinator-1']) {
      const { Name, State } = await this.inspect(service);
      if (State.Running) return Name;
    }
    throw new Error('no coordinator runs');
  }

  /** Gives a command that changes something. */
  async change(...args: string[]): Promise<void> {
    await this.#isobar(...args, '--yes');
  }

  /** Null while nobody leads, or no server answers. */
  async status(): Promise<StatusAnswer | null> {
    try {
      const status = statusAnswerSchema.parse(JSON.parse(await this.#isobar('status')));
      this.#lastStatus = `last: ${summaryOf(status)}`;
      return status;
    } catch (error) {
      this.#lastStatus = `last: ${error instanceof Error ? error.message : error}`;
      return null;
    }
  }

  /** Waits for a status like that. */
  awaitStatus(
    what: string,
    holds: (status: StatusAnswer) => boolean,
    deadlineMs = 120_000,
  ): Promise<StatusAnswer> {
    const look = async () => {
      const status = await this.status();
      return status !== null && holds(status) ? status : null;
    };
    return awaitState(what, deadlineMs, look, () => this.#lastStatus);
  }

  /** Waits until a later version than the newest is in force, and followed by all ranks. */
  async awaitSwap(): Promise<StatusAnswer> {
    const before = await this.awaitStatus('a leader', () => true);
    const later = (status: StatusAnswer) => status.mapping.version > before.mapping.version;
    return this.awaitStatus('a later version on all ranks', (now) => later(now) && isWhole(now));
  }

  /** Copies a folder out of a service's container into one of this machine, whose path it returns. */
  async copyOut(service: string, path: string): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'isobar-compose-'));
    await docker('cp', `${await this.#container(service)}:${path}`, folder);
    return join(folder, path.split('/').at(-1) ?? '');
  }

  /** Of all that ran, for a test that has failed. */
  async logs(services: readonly string[]): Promise<string> {
    const parts = await Promise.all(
      services.map(async (service) => {
        const args = ['logs', '--tail', '20', await this.#container(service)];
        const { stdout, stderr } = await runTool('docker', args);
        return `${service}:\n${stdout}${stderr}`;
      }),
    );
    return parts.join('\n');
  }
}

/** Every rank serves, by the version in force, and tells of it. */
export function isWhole({ ranks, mapping }: StatusAnswer): boolean {
  return ranks.length === 8 && ranks.every((rank) => follows(rank, mapping.version));
}

const freshMs = 3_000;

export function follows(rank: RankStatus, version: number): boolean {
  const { standing, engineConnected, mappingVersion, reportAgeMs } = rank;
  const isHeard = reportAgeMs !== null && reportAgeMs < freshMs;
  return isHeard && engineConnected && standing === 'serving' && mappingVersion === version;
}

function summaryOf({ leader, mapping, ranks, swap }: StatusAnswer): string {
  const states = ranks.map(({ rank, standing, mappingVersion, reportAgeMs }) =>
    [rank, standing, mappingVersion, reportAgeMs].join('/'),
  );
  return `${leader.holder}, version ${mapping.version}, ${swap?.phase ?? 'no swap'}, ${states.join(' ')}`;
}

/** Compose 2 where it is there, else compose 1. */
async function composeCommand(): Promise<readonly string[]> {
  const isThere = await docker('compose', 'version').then(
    () => true,
    () => false,
  );
  return isThere ? ['docker', 'compose'] : ['docker-compose'];
}

/** Freed again: for a container to listen on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Intake, type RefusalLogger } from '@isobar/bus';
import {
  checkConfiguration,
  configurationOf,
  type LoadedConfiguration,
} from '@isobar/configuration';
import { Coordinator } from '@isobar/coordinator';
import {
  auditEventSchema,
  type DurableRankState,
  decode,
  emptyDurableRankState,
  mapRecordKey,
  type StatusAnswer,
} from '@isobar/protocol';
import { type DurableStateFile, ProcessWitness, RankAgent } from '@isobar/rank-agent';
import { createLogger } from '@isobar/telemetry';
import { uniformTopology } from '@isobar/topology';
import { vi } from 'vitest';
import { ImaginedEngine, numRanks } from './imagined-engine.js';
import { MemoryBus } from './memory-bus.js';

export const deployment = 'fuzz';
const silent = createLogger({ name: 'fuzz', level: 'silent' });

/** Log lines of intakes, of which there must be few. */
class LineCounter implements RefusalLogger {
  lines = 0;
  warn(): void {
    this.lines += 1;
  }
  info(): void {
    this.lines += 1;
  }
}

function configuration(): LoadedConfiguration {
  const file = 'isobar.yaml';
  const coordinator = {
    tickMs: 20,
    retryMs: 50,
    queryDeadlineMs: 100,
    changeRetryMs: 100,
    passMs: 50,
    planIntervalMs: 100,
    runawayFollowMs: 100,
    runawayFollowEveryMs: 0,
  };
  const nats = { servers: ['nats://unused'] };
  const text = JSON.stringify({ deployment, topology: 'unused', nats, coordinator });
  const { values, origins, problems } = checkConfiguration(file, text, {});
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return { file, configuration: configurationOf(values), values, origins };
}

/** Agents, a coordinator and imagined engines in this process: the services themselves, on a bus of memory. */
export class InProcessCluster {
  readonly bus = new MemoryBus();
  readonly engines: ImaginedEngine[] = [];
  readonly agents: RankAgent[] = [];
  readonly saved = new Map<number, DurableRankState>();
  readonly log = new LineCounter();
  readonly intakes: Intake[] = [];
  /** Of actors and services that can't go on: in a process, its end. */
  readonly failures: unknown[] = [];
  #coordinator: Coordinator | null = null;
  #directory = '';

  static async start(): Promise<InProcessCluster> {
    const cluster = new InProcessCluster();
    cluster.#directory = await mkdtemp(join(tmpdir(), 'isobar-fuzz-'));
    for (let rank = 0; rank < numRanks; rank += 1) await cluster.#startRank(rank);
    await cluster.#startCoordinator();
    await cluster.leading();
    return cluster;
  }

  #intake(): Intake {
    const intake = new Intake({ deployment, logger: this.log });
    this.intakes.push(intake);
    return intake;
  }

  async #startRank(rank: number): Promise<void> {
    const engine = `unix:${join(this.#directory, `engine-${rank}.sock`)}`;
    this.engines.push(await ImaginedEngine.listen(deployment, rank, engine));
    const file = {
      load: () => Promise.resolve(this.saved.get(rank) ?? emptyDurableRankState),
      save: (state: DurableRankState) => {
        this.saved.set(rank, state);
        return Promise.resolve();
      },
    } as unknown as DurableStateFile;
    const settings = {
      deployment,
      rank,
      engine,
      httpListen: null,
      stateDirectory: this.#directory,
      reportIntervalMs: 50,
      stageDeadlineMs: 120_000,
      commandDeadlineMs: 10_000,
      questionDeadlineMs: 2_000,
      leaveOnStop: false,
      leaveDeadlineMs: 60_000,
    };
    const agent = await RankAgent.start({
      settings,
      bus: this.bus.bus,
      intake: this.#intake(),
      file,
      witness: new ProcessWitness(),
      logger: silent,
      origin: null,
      place: { node: 'here', localRank: null, domains: {}, gpu: null },
      onFailure: (error) => this.failures.push(error),
    });
    this.agents.push(agent);
  }

  async #startCoordinator(): Promise<void> {
    this.#coordinator = new Coordinator({
      configuration: configuration(),
      topology: uniformTopology({ numRanks, numNodes: 1 }),
      bus: this.bus.bus,
      intake: this.#intake(),
      logger: silent,
      onFailure: (error) => this.failures.push(error),
    });
    await this.#coordinator.start();
  }

  /** Null while nobody leads. */
  status(): StatusAnswer | null {
    try {
      return this.#coordinator?.status() ?? null;
    } catch {
      return null;
    }
  }

  /** Resolves once it leads, and every rank routes by a version that is recorded. */
  async leading(): Promise<StatusAnswer> {
    return vi.waitFor(
      () => {
        const status = this.status();
        if (status === null || status.mapping.version === 0)
          throw new Error(`nobody leads: ${this.#whatHappened()}`);
        return status;
      },
      { timeout: 30_000, interval: 10 },
    );
  }

  #whatHappened(): string {
    const events = this.bus.events
      .slice(-6)
      .map(({ payload }) => JSON.stringify(decode('event', payload, auditEventSchema)));
    const fences = [...this.saved.values()].map(({ fence }) => JSON.stringify(fence));
    return [this.#refusal(), ...this.failures.map(String), ...fences, ...events].join('\n');
  }

  #refusal(): string {
    try {
      this.#coordinator?.status();
      return '';
    } catch (error) {
      return String(error);
    }
  }

  /** Records of committed versions and of what operators asked for, by key. */
  decided(): string[] {
    return [...this.bus.records]
      .filter(([key]) => key.startsWith(mapRecordKey(0).slice(0, -1)))
      .map(([key, { value }]) => `${key} ${Buffer.from(value).toString('base64')}`);
  }

  async close(): Promise<void> {
    await this.#coordinator?.stop();
    for (const agent of this.agents) await agent.stop();
    for (const engine of this.engines) await engine.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

import { join } from 'node:path';
import { readNatsContext } from '@isobar/bus';
import {
  type AppliedRebalance,
  CoordinatorClient,
  concludeRun,
  type DemoOptions,
  type DemoReport,
  demoCluster,
  pauseAndSettle,
} from '@isobar/operator-cli';
import { type CommandName, decode, type StatusAnswer, subjectsOf } from '@isobar/protocol';
import { Cluster, type ClusterOptions } from '@isobar/testing';
import { generateTrace } from '@isobar/trace';
import { expect, vi } from 'vitest';
import { z } from 'zod';
import { installedScripts } from './installed.js';

const eventSchema = z.looseObject({
  kind: z.string(),
  version: z.number().optional(),
  outcome: z.string().optional(),
  reason: z.string().optional(),
  wavesCommitted: z.number().optional(),
  term: z.number().optional(),
  holder: z.string().optional(),
  change: z.string().optional(),
  wavesLeft: z.number().optional(),
});
export type ClusterEvent = z.infer<typeof eventSchema>;

const deployment = 'demo';
const eventDeadlineMs = 60_000;

export interface SmallClusterOptions {
  readonly scripts?: ClusterOptions['scripts'];
  readonly activation?: 'two-table' | 'in-place';
  readonly engine?: Readonly<Record<string, unknown>>;
  readonly engineOfRank?: ClusterOptions['engineOfRank'];
  readonly agent?: Readonly<Record<string, unknown>>;
  readonly nats?: Readonly<Record<string, unknown>>;
  readonly coordinator?: Readonly<Record<string, unknown>>;
  readonly http?: Readonly<Record<string, unknown>>;
  readonly topology?: string;
  readonly numCoordinators?: number;
  readonly numNatsServers?: number;
  readonly natsServer?: string;
  readonly secure?: ClusterOptions['secure'];
  /** Within the folder of credentials, whose context the test's own client uses. */
  readonly client?: string;
}

export const smallDemo: DemoOptions = {
  ranks: 4,
  nodes: 2,
  slots: 24,
  durationMs: 0,
  seed: 7,
  activation: 'two-table',
  json: true,
};

/** A model of 4 layers and 16 experts on 4 ranks: all of a real cluster, in seconds. */
export function smallClusterOptions(options: SmallClusterOptions = {}): ClusterOptions {
  const trace = generateTrace({
    seed: 7,
    numLayers: 4,
    numExperts: 16,
    topK: 2,
    tokensPerStep: 64,
    numSteps: 64,
  });
  const demo = { ...smallDemo, activation: options.activation ?? 'two-table' };
  const cluster = demoCluster(demo, trace);
  return {
    ...cluster,
    scripts: options.scripts ?? installedScripts,
    topology: options.topology ?? cluster.topology,
    numCoordinators: options.numCoordinators ?? 1,
    numNatsServers: options.numNatsServers ?? 1,
    ...(options.nats === undefined ? {} : { nats: options.nats }),
    ...(options.http === undefined ? {} : { http: options.http }),
    ...(options.secure === undefined ? {} : { secure: options.secure }),
    ...(options.engineOfRank === undefined ? {} : { engineOfRank: options.engineOfRank }),
    ...(options.natsServer === undefined ? {} : { natsServer: options.natsServer }),
    engine: { ...cluster.engine, meanLayerMillis: 5, loadIntervalMs: 50, ...options.engine },
    agent: { ...cluster.agent, ...options.agent },
    coordinator: {
      ...cluster.coordinator,
      passMs: 100,
      planIntervalMs: 500,
      backOffMs: 500,
      tickMs: 100,
      ...options.coordinator,
    },
  };
}

/** A running small cluster with everything that it has told. */
export class SmallCluster {
  readonly cluster: Cluster;
  readonly client: CoordinatorClient;
  readonly events: ClusterEvent[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(cluster: Cluster, client: CoordinatorClient) {
    this.cluster = cluster;
    this.client = client;
    client.bus.subscribe(subjectsOf(deployment).event('>'), ({ payload }) => {
      this.events.push(decode('event', payload, eventSchema));
      for (const wake of [...this.#waiting]) wake();
    });
  }

  static async start(options: SmallClusterOptions = {}): Promise<SmallCluster> {
    const cluster = await Cluster.start(smallClusterOptions(options));
    const { client: path } = options;
    const client = await CoordinatorClient.connect({
      servers: [cluster.natsUrl],
      context: path === undefined ? null : await readNatsContext(join(cluster.directory, path)),
      deployment,
      timeoutMs: 5_000,
    });
    return new SmallCluster(cluster, client);
  }

  /** The first event, seen already or yet to come, that `matches`. */
  async event(matches: (event: ClusterEvent) => boolean): Promise<ClusterEvent> {
    let timer: NodeJS.Timeout | undefined;
    let wake: () => void = () => undefined;
    try {
      return await new Promise<ClusterEvent>((resolve, reject) => {
        timer = setTimeout(() => {
          const seen = JSON.stringify(this.events.slice(-20));
          reject(new Error(`no such event; the last were ${seen}`));
        }, eventDeadlineMs);
        wake = () => {
          const found = this.events.find(matches);
          if (found !== undefined) resolve(found);
        };
        this.#waiting.add(wake);
        wake();
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(wake);
    }
  }

  committed(version: number): Promise<ClusterEvent> {
    return this.event(
      (event) =>
        event.kind === 'swap-finished' &&
        event.outcome === 'committed' &&
        (event.version ?? 0) >= version,
    );
  }

  /** A coordinator leads under that term, or a later one. */
  ledUnder(term: number): Promise<ClusterEvent> {
    return this.event((event) => event.kind === 'leading' && (event.term ?? 0) >= term);
  }

  status(): Promise<StatusAnswer> {
    return this.client.ask('status', {});
  }

  /** Resolves once no swap is open, after one that was seen to be decided. */
  async idle(): Promise<void> {
    const { swap } = await this.status();
    if (swap === null) return;
    await this.event(
      ({ kind, version = 0 }) => kind === 'swap-finished' && version >= swap.version,
    );
    await this.idle();
  }

  /** Resolves once a command is refused so. */
  async refusal(
    command: Extract<CommandName, 'status' | 'plan'>,
    code: string,
    text: string,
  ): Promise<void> {
    await vi.waitFor(
      async () => {
        const refused = this.client.ask(command, {});
        await expect(refused).rejects.toThrow(text);
        await expect(refused).rejects.toMatchObject({ fields: { serviceCode: code } });
      },
      { timeout: eventDeadlineMs, interval: 200 },
    );
  }

  /** Every answer that a command gets, of whoever feels addressed, within a time that is enough. */
  async answersTo(command: string, answersMax: number): Promise<unknown[]> {
    const subject = `${subjectsOf(deployment).commandPrefix}.${command}`;
    const wait = { answersMax, timeoutMs: 1_000 };
    const answers = await this.client.bus.requestMany(subject, new Uint8Array(0), wait);
    return answers.map((answer) => JSON.parse(new TextDecoder().decode(answer)));
  }

  /** Resolves once `rank` has told of `steps` further steps by its own count. */
  stepsServed(rank: number, steps: number): Promise<void> {
    return new Promise((resolve) => {
      let first: number | null = null;
      const subscription = this.client.bus.subscribe(
        subjectsOf(deployment).load(rank),
        ({ payload }) => {
          const { lastStep } = decode('sample', payload, z.looseObject({ lastStep: z.number() }));
          first ??= lastStep;
          if (lastStep < first + steps) return;
          subscription.unsubscribe();
          resolve();
        },
      );
    });
  }

  /** Lets what is under way end, stops the engines, and compares with the oracle. */
  async conclude(checkpoint?: string): Promise<DemoReport> {
    const status = await pauseAndSettle(this.client, new AbortController().signal);
    const rebalances: AppliedRebalance[] = this.events
      .filter((event) => event.kind === 'rebalance-finished' && event.outcome === 'applied')
      .map(({ version = 0, wavesCommitted = 0 }) => ({ version, waves: wavesCommitted }));
    return concludeRun(this.cluster, smallDemo, { status, rebalances }, checkpoint);
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.cluster.close();
  }
}

/** Fields of a report that say whether every token was right. */
export const noTokenWrong = { tokensLost: 0, tokensMisrouted: 0, tokensChanged: 0 };

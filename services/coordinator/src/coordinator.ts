import { setTimeout as delay } from 'node:timers/promises';
import { type Bus, Intake, type Records } from '@isobar/bus';
import {
  commandServiceName,
  encode,
  IsobarError,
  recordsBucket,
  type Subjects,
  subjectsOf,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { Topology } from '@isobar/topology';
import { audited, type CommandEvent } from './command-audit.js';
import { Leader } from './leader.js';
import { type Leadership, takeLeadership } from './leadership.js';
import { operatorCommands } from './operator-commands.js';
import type { CoordinatorSettings } from './settings.js';

export interface CoordinatorOptions {
  readonly settings: CoordinatorSettings;
  readonly topology: Topology;
  readonly bus: Bus;
  readonly logger: Logger;
  /** The coordinator can't go on; its process must end. */
  readonly onFailure: (error: IsobarError) => void;
}

const serviceVersion = '0.1.0';
/** Between two attempts to lead. */
const tryAgainMs = 2_000;

/** One coordinator of a deployment: becomes its leader, and leads until it is outranked. */
export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #subjects: Subjects;
  readonly #intake: Intake;
  readonly #stopping = new AbortController();
  #leader: Leader | null = null;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#subjects = subjectsOf(options.settings.deployment);
    this.#intake = new Intake((what, error) =>
      options.logger.warn({ err: error, what }, 'message refused'),
    );
  }

  /** Resolves once this coordinator leads. */
  async start(): Promise<void> {
    const { bus, settings, logger } = this.#options;
    const { deployment } = settings;
    await bus.serveCommands(
      {
        name: commandServiceName(deployment),
        version: serviceVersion,
        description: `Commands of the Isobar deployment ${deployment}`,
        subjectPrefix: this.#subjects.commandPrefix,
      },
      audited(
        operatorCommands(() => this.#leader),
        settings.operatorsAccount ?? null,
        (event) => this.#tellCommand(event),
      ),
    );
    const records = await this.#openRecords();
    this.#lead(records, await this.#campaign(records));
    logger.info({ holder: settings.holder }, 'serving');
  }

  #tellCommand(event: CommandEvent): void {
    const { bus, logger } = this.#options;
    const kind = 'command';
    logger.info(event, kind);
    bus.publish(this.#subjects.event(kind), encode({ schema: 1, at: Date.now(), kind, ...event }));
  }

  async #openRecords(): Promise<Records> {
    const { bus, settings } = this.#options;
    const options = { bucket: recordsBucket(settings.deployment), replicas: settings.replicas };
    return this.#untilDone('records', () => bus.openRecords(options));
  }

  #campaign(records: Records): Promise<Leadership> {
    const { topology } = this.#options;
    const configuredRanks = Array.from({ length: topology.numRanks }, (_, rank) => rank);
    return this.#untilDone('leadership', async () => {
      const leadership = await takeLeadership(
        {
          ...this.#options,
          records,
          subjects: this.#subjects,
          intake: this.#intake,
          configuredRanks,
        },
        this.#stopping.signal,
      );
      for (const { numRanks } of leadership.ground.descriptions) topology.assertFits(numRanks);
      return leadership;
    });
  }

  /** Tries again for as long as it takes: the service stays up, and says once what is wrong. */
  async #untilDone<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    let told = '';
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        this.#stopping.signal.throwIfAborted();
        const text = String(error);
        if (text !== told) this.#options.logger.error({ err: error }, `${what} not reached yet`);
        told = text;
      }
      await delay(tryAgainMs, undefined, { signal: this.#stopping.signal });
    }
  }

  #lead(records: Records, leadership: Leadership): void {
    const { logger } = this.#options;
    const { term } = leadership.fence;
    const leader = new Leader({
      ...this.#options,
      records,
      leadership,
      subjects: this.#subjects,
      intake: this.#intake,
      onDeposed: (why) => {
        // Another leads: this process goes on as a standby that answers nothing.
        logger.warn({ term, why }, 'deposed');
        this.#leader = null;
        leader.stop().catch((cause: unknown) => {
          const text = 'a deposed leader could not stop';
          this.#options.onFailure(
            new IsobarError('ISOBAR_COORDINATOR_FAILED', text, {}, { cause }),
          );
        });
      },
    });
    this.#leader = leader;
    leader.start();
    const { newest } = leadership.ground;
    logger.info({ term, version: newest.version }, 'leading');
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#leader?.stop();
  }
}

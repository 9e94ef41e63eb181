import { setTimeout as delay } from 'node:timers/promises';
import { type Bus, connectBus, type NatsContext } from '@isobar/bus';
import {
  type CommandAnswer,
  type CommandInput,
  type CommandName,
  type IsobarError,
  type StatusAnswer,
  subjectsOf,
} from '@isobar/protocol';
import { errorCodeOf } from './exit-codes.js';
import { readAnswer } from './read-answer.js';

/** What is said where nobody leads, and where somebody is about to. */
const leaderlessCodes: ReadonlySet<string> = new Set([
  'ISOBAR_BUS_NO_RESPONDERS',
  'ISOBAR_BUS_TIMEOUT',
  'ISOBAR_COORDINATOR_NOT_LEADING',
]);
const askAgainMs = 200;

/** Nobody leads, or nobody does yet. */
export function isLeaderless(error: unknown): boolean {
  return isLeaderlessCode(errorCodeOf(error) ?? '');
}

export function isLeaderlessCode(code: string): boolean {
  return leaderlessCodes.has(code);
}

/** Where a deployment is found. */
export interface DeploymentAddress {
  /** URLs of NATS servers. */
  readonly servers: readonly string[];
  /** As whom to connect; anonymous where null. */
  readonly context: NatsContext | null;
  readonly deployment: string;
  readonly timeoutMs: number;
  /** Told of what no call can return. @default said on standard error */
  readonly onError?: (error: IsobarError) => void;
}

/** Asks one deployment's coordinator over NATS. */
export class CoordinatorClient {
  readonly #bus: Bus;
  readonly #prefix: string;
  readonly #timeoutMs: number;

  private constructor(bus: Bus, address: DeploymentAddress) {
    this.#bus = bus;
    this.#prefix = subjectsOf(address.deployment).commandPrefix;
    this.#timeoutMs = address.timeoutMs;
  }

  /**
   * @throws IsobarError ISOBAR_BUS_UNREACHABLE, ISOBAR_BUS_UNAUTHORIZED,
   *   ISOBAR_PROTOCOL_DEPLOYMENT_NAME
   */
  static async connect(address: DeploymentAddress): Promise<CoordinatorClient> {
    const bus = await connectBus({
      servers: address.servers,
      ...(address.context === null ? {} : { context: address.context }),
      name: 'isobar',
      connectTimeoutMs: address.timeoutMs,
      onError:
        address.onError ??
        (({ code, message }) => process.stderr.write(`isobar: ${code}: ${message}\n`)),
    });
    return new CoordinatorClient(bus, address);
  }

  get bus(): Bus {
    return this.#bus;
  }

  /**
   * Asks a command, and waits for its answer as long as the command itself may wait, and more.
   * @throws IsobarError ISOBAR_BUS_SERVICE_ERROR with the refusal's own code, ISOBAR_BUS_TIMEOUT,
   *   ISOBAR_BUS_NO_RESPONDERS, ISOBAR_CLI_ANSWER where the answer is not what was asked for
   */
  async ask<Name extends CommandName>(
    command: Name,
    question: CommandInput<Name>,
  ): Promise<CommandAnswer<Name>> {
    const payload = new TextEncoder().encode(JSON.stringify(question));
    const subject = `${this.#prefix}.${command}`;
    const { waitMs = 0 } = question as { readonly waitMs?: number };
    const answer = await this.#bus.request(subject, payload, this.#timeoutMs + waitMs);
    return readAnswer(command, answer);
  }

  /**
   * Resolves once somebody leads the deployment; a standby that waits for the lease says nothing.
   * @throws the newest refusal, when the deadline is over
   */
  async awaitLeader(deadlineMs: number, signal: AbortSignal): Promise<StatusAnswer> {
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      try {
        return await this.ask('status', {});
      } catch (error) {
        if (!isLeaderless(error) || performance.now() > endMs) throw error;
      }
      await delay(askAgainMs, undefined, { signal });
    }
  }

  /** Without a connection nothing waits to be sent: only a server could say that it has come. */
  close(): Promise<void> {
    return this.#bus.connected ? this.#bus.drain() : this.#bus.close();
  }
}

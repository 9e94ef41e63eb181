import {
  type AgentIdentity,
  type EngineAddress,
  EngineClient,
  type EngineCommandMessage,
  type EngineHello,
} from '@isobar/engine';
import type { EngineState, Member } from '@isobar/protocol';
import type { ManagedProcess } from '@isobar/testing';

const commandDeadlineMs = 30_000;
const stopDeadlineMs = 20_000;
const awaitDeadlineMs = 60_000;

/** One engine process, and the test as its agent. */
export class EngineUnderTest {
  readonly process: ManagedProcess;
  readonly #address: EngineAddress;
  readonly #identity: AgentIdentity;
  readonly #watchers = new Set<() => void>();
  #client: EngineClient | null = null;
  #hello: EngineHello | null = null;
  #state: EngineState | null = null;
  #lastStep = -1;

  private constructor(
    engineProcess: ManagedProcess,
    address: EngineAddress,
    identity: AgentIdentity,
  ) {
    this.process = engineProcess;
    this.#address = address;
    this.#identity = identity;
  }

  /** Resolves with the engine's hello. */
  static async connect(
    engineProcess: ManagedProcess,
    address: EngineAddress,
    identity: AgentIdentity,
  ): Promise<EngineUnderTest> {
    const engine = new EngineUnderTest(engineProcess, address, identity);
    await engine.connect();
    return engine;
  }

  async connect(): Promise<void> {
    this.#state = null;
    this.#client = new EngineClient({
      address: this.#address,
      identity: this.#identity,
      onHello: (hello) => {
        this.#hello = hello;
        this.#onState(hello.state);
      },
      onLoad: (sample) => {
        this.#lastStep = Math.max(this.#lastStep, sample.lastStep);
        this.#tell();
      },
      onProgress: () => undefined,
      onActivated: (state) => this.#onState(state),
      onChanged: (state) => this.#onState(state),
      onReplaced: () => undefined,
      onRefused: () => undefined,
      onLost: () => undefined,
      onError: () => undefined,
    });
    this.#client.start();
    await this.#when('hello', () => this.#state !== null);
  }

  /** The engine goes on without an agent. */
  disconnect(): void {
    this.#client?.stop();
    this.#client = null;
  }

  #onState(state: EngineState): void {
    this.#state = state;
    this.#tell();
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  get hello(): EngineHello {
    if (this.#hello === null) throw new Error('no hello yet');
    return this.#hello;
  }

  get state(): EngineState {
    if (this.#state === null) throw new Error('no state yet');
    return this.#state;
  }

  get rank(): number {
    return this.hello.description.rank;
  }

  get member(): Member {
    return { rank: this.rank, incarnation: this.hello.description.incarnation };
  }

  /** @throws IsobarError the engine's refusal */
  async order(command: EngineCommandMessage): Promise<EngineState> {
    const client = this.#client;
    if (client === null) throw new Error(`nobody is the agent of rank ${this.rank}`);
    return new Promise((resolve, reject) => {
      client.command(command, commandDeadlineMs, (outcome) => {
        if (!outcome.ok) {
          reject(outcome.error);
          return;
        }
        // At once: a later state may be on its way already.
        this.#onState(outcome.state);
        resolve(outcome.state);
      });
    });
  }

  /** Resolves with the first state told that `matches`. */
  async until(matches: (state: EngineState) => boolean): Promise<EngineState> {
    await this.#when('such a state', () => this.#state !== null && matches(this.#state));
    return this.state;
  }

  /** Resolves once the engine has told of `steps` further steps of its own. */
  async stepsServed(steps: number): Promise<void> {
    const from = this.#lastStep;
    await this.#when(`${steps} steps`, () => this.#lastStep >= from + steps);
  }

  async #when(what: string, isMet: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let watcher: () => void = () => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => reject(this.#late(what)), awaitDeadlineMs);
        watcher = () => {
          if (isMet()) resolve();
        };
        this.#watchers.add(watcher);
        watcher();
      });
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }

  #late(what: string): Error {
    const { vote, outcomes, physicalToLogical, ...state } = this.state;
    const { name, logPath } = this.process;
    const known = JSON.stringify({ ...state, vote: vote?.version, lastStep: this.#lastStep });
    return new Error(`${name} (${logPath}) has not told ${what}; last ${known}`);
  }

  async stop(): Promise<void> {
    this.disconnect();
    const code = await this.process.stop(stopDeadlineMs);
    if (code !== 0) throw this.process.ended(code);
  }
}

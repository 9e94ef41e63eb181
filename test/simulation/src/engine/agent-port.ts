import type {
  EngineCommand,
  EngineDescription,
  RankSwapEvent,
  WitnessedProcess,
} from '@isobar/protocol';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { World } from '../world.js';
import type { CommandResult } from './engine-commands.js';
import { PortConnection } from './engine-port.js';
import type { SimulatedEngine } from './simulated-engine.js';

/** The agent that has the port. */
export interface PortUser {
  readonly name: string;
  readonly process: VirtualProcess;
  readonly engine: SimulatedEngine;
  step(event: RankSwapEvent): void;
}

type Settle = (result: CommandResult | null) => void;

const dialMs = { least: 50, spread: 250, again: 1_000 };
const deadlines = { stageMs: 60_000, commandMs: 8_000, helloMs: 5_000 };
const pauseMs = { least: 500, spread: 20_000 };
const secondAnswerMsMax = 3_000;

/**
 * The agent's end of the port, as `EngineClient` of packages/engine is: what comes on a connection
 * that is no longer its own is not taken, nor a second answer to a command.
 */
export class AgentPort {
  readonly #world: World;
  readonly #user: PortUser;
  #connection: PortConnection | null = null;
  #greeted = false;
  readonly #pending = new Set<Settle>();

  constructor(world: World, user: PortUser) {
    this.#world = world;
    this.#user = user;
  }

  /** The agent's process is new. */
  start(): void {
    this.#connection = null;
    this.#greeted = false;
    this.#pending.clear();
    this.#dialSoon(dialMs.least + this.#world.random.next() * dialMs.spread);
  }

  /** The agent's process has died. */
  died(): void {
    this.#connection?.end();
    this.#connection = null;
    this.#pending.clear();
  }

  get isConnected(): boolean {
    return this.#connection?.open === true && this.#greeted;
  }

  /** Both ends live on, and find the connection broken. */
  break(): boolean {
    if (this.#connection?.open !== true) return false;
    this.#connection.break();
    return true;
  }

  /** What comes from now on is read so much later. */
  lag(lagMs: number): void {
    if (this.#connection !== null) this.#connection.lagMs = lagMs;
  }

  #dialSoon(delayMs: number): void {
    this.#world.scheduler.toLife(this.#user.process, delayMs, () => this.#dial());
  }

  #dial(): void {
    const { engine, process } = this.#user;
    const { scheduler } = this.#world;
    if (this.#connection?.open === true) return;
    if (!engine.listens) {
      this.#dialSoon(dialMs.again);
      return;
    }
    const number = engine.nextConnection();
    const connection = new PortConnection(scheduler, number, process, engine.process, () => {
      this.#onClosed(connection);
    });
    this.#connection = connection;
    connection.lagMs = engine.portFaults.lagMs;
    const greetingMs = engine.portFaults.nextGreetingMs;
    engine.portFaults.nextGreetingMs = 0;
    connection.toEngine(() => this.#greet(connection), greetingMs);
    scheduler.timer(process, deadlines.helloMs, () => {
      if (this.#connection === connection && !this.#greeted) connection.end();
    });
  }

  /** At the engine. */
  #greet(connection: PortConnection): void {
    const { engine, step } = this.#bound();
    engine.takeAgent(connection, {
      hello: (description, state) =>
        this.#hear(connection, () => {
          this.#greeted = true;
          const process = this.#processOf(description);
          step({ kind: 'engine-hello', description, state, process });
        }),
      activated: (state) => this.#hear(connection, () => step({ kind: 'engine-activated', state })),
      changed: (state) => this.#hear(connection, () => step({ kind: 'engine-changed', state })),
    });
  }

  #bound() {
    const user = this.#user;
    return { engine: user.engine, step: (event: RankSwapEvent) => user.step(event) };
  }

  /** Whatever still comes on an earlier connection is older than what its successor has told. */
  #hear(connection: PortConnection, act: () => void): void {
    if (this.#connection !== connection) {
      this.#world.situations.count('port: late message dropped');
      if (!this.#world.faults.hearEarlierConnections) return;
    }
    act();
  }

  #onClosed(connection: PortConnection): void {
    if (this.#connection !== connection) return;
    const { process, name } = this.#user;
    const wasGreeted = this.#greeted;
    this.#connection = null;
    this.#greeted = false;
    for (const settle of [...this.#pending]) settle(null);
    if (connection.replaced) {
      this.#world.log(() => `${name} ends: another agent has its engine`);
      // Who is told late of another that has ended meanwhile is started again, as any.
      if (this.#hasRival()) this.#world.supervisor.hold(process);
      this.#world.scheduler.crash(process);
      return;
    }
    if (wasGreeted) this.#user.step({ kind: 'engine-lost' });
    this.#dialSoon(dialMs.again);
  }

  #hasRival(): boolean {
    const { engine, process } = this.#user;
    return this.#world.agents.some(
      (agent) => agent.engine === engine && agent.process !== process && agent.process.alive,
    );
  }

  /** The engine's process, if it runs on this very machine. */
  #processOf({ process, incarnation }: EngineDescription): WitnessedProcess | null {
    if (process === null || !this.isRunningHere(incarnation)) return null;
    return { ...process, scope: `station ${this.#user.engine.station}` };
  }

  isRunningHere(incarnation: string): boolean {
    const { engine } = this.#user;
    return engine.process.alive && engine.incarnation === incarnation;
  }

  command(command: EngineCommand): void {
    const { engine, process, step } = { ...this.#user, ...this.#bound() };
    const { scheduler } = this.#world;
    const connection = this.#connection;
    const refuse = (code: string, message: string, explicit: boolean) =>
      step({ kind: 'engine-refused', command, code, message, explicit });
    const lost = () => refuse('ISOBAR_ENGINE_DISCONNECTED', 'no engine is connected', false);
    if (connection === null || !this.isConnected) {
      scheduler.toLife(process, 0, lost);
      return;
    }
    const settle: Settle = (result) => {
      const isFirst = this.#pending.delete(settle);
      if (!isFirst && !this.#world.faults.hearEarlierConnections) return;
      if (result === null) lost();
      else if (result.ok) step({ kind: 'engine-done', command, state: result.state });
      else refuse(result.code, result.message, true);
    };
    this.#pending.add(settle);
    const deadlineMs = command.kind === 'stage' ? deadlines.stageMs : deadlines.commandMs;
    scheduler.timer(process, deadlineMs, () => {
      if (!this.#pending.delete(settle)) return;
      this.#world.situations.count('port: no answer in time');
      refuse('ISOBAR_ENGINE_TIMEOUT', 'no answer in time', false);
    });
    const fate = this.#takeFate();
    if (fate === 'command-lost') connection.break();
    if (fate === 'agent-pauses') this.#pauseSoon();
    connection.toEngine(() => {
      engine.port.handle(command, (result) => {
        const answer = () => connection.toAgent(() => this.#hear(connection, () => settle(result)));
        if (fate === 'answer-lost') connection.break();
        else answer();
        if (fate !== 'answered-twice') return;
        scheduler.after(this.#world.random.next() * secondAnswerMsMax, answer);
      });
    });
  }

  #takeFate() {
    const { portFaults } = this.#user.engine;
    const fate = portFaults.nextCommand;
    portFaults.nextCommand = null;
    if (fate !== null) {
      this.#world.situations.count(`port: ${fate}`);
      this.#world.log(() => `${this.#user.name} and its engine: ${fate}`);
    }
    return fate;
  }

  #pauseSoon(): void {
    const { scheduler, random } = this.#world;
    const forMs = pauseMs.least + random.next() * pauseMs.spread;
    scheduler.toLife(this.#user.process, 0, () => scheduler.pause(this.#user.process, forMs));
  }
}

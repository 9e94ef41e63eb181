import type { Scheduler } from '../kernel/scheduler.js';
import type { VirtualProcess } from '../kernel/virtual-process.js';

/** Local sockets take this long. */
const hopMs = 0.2;

/**
 * One connection of an agent with its engine: two streams that keep their order. What an end had
 * sent before it died arrives all the same; of a connection that breaks nothing more does.
 */
export class PortConnection {
  /** Nobody can send any more. */
  open = true;
  /** The engine has taken an agent that connected later. */
  replaced = false;
  /** What the engine sends is read so much later. */
  lagMs = 0;
  /** Later connections of an engine have higher numbers. */
  readonly number: number;
  readonly agent: VirtualProcess;
  readonly engine: VirtualProcess;
  readonly #lives: { readonly agent: number; readonly engine: number };
  readonly #scheduler: Scheduler;
  readonly #onClosed: () => void;
  #broken = false;
  #nextAtAgentMs = 0;

  /** @param onClosed at the agent: the engine or this connection is gone */
  constructor(
    scheduler: Scheduler,
    number: number,
    agent: VirtualProcess,
    engine: VirtualProcess,
    onClosed: () => void,
  ) {
    this.#scheduler = scheduler;
    this.number = number;
    this.agent = agent;
    this.engine = engine;
    this.#lives = { agent: agent.life, engine: engine.life };
    this.#onClosed = onClosed;
  }

  toAgent(run: () => void): void {
    if (this.open) this.#arriveAtAgent(run);
  }

  /** @param delayMs the agent sends it so much later */
  toEngine(run: () => void, delayMs = 0): void {
    if (!this.open || this.engine.life !== this.#lives.engine) return;
    this.#scheduler.toLife(this.engine, hopMs + delayMs, () => {
      if (!this.#broken && !this.replaced) run();
    });
  }

  /** In the order in which it was sent, however long the agent takes to read. */
  #arriveAtAgent(run: () => void): void {
    if (this.agent.life !== this.#lives.agent) return;
    const { nowMs } = this.#scheduler;
    this.#nextAtAgentMs = Math.max(this.#nextAtAgentMs, nowMs + hopMs + this.lagMs);
    this.#scheduler.toLife(this.agent, this.#nextAtAgentMs - nowMs, run);
  }

  /** The engine takes an agent that connected later, and says so. */
  replace(): void {
    if (!this.open) return;
    this.replaced = true;
    this.end();
  }

  /** An end has died or has hung up: the agent finds out when it has read what came before. */
  end(): void {
    if (!this.open) return;
    this.open = false;
    this.#arriveAtAgent(this.#onClosed);
  }

  /** Both ends live. What is under way is lost; the agent finds out before it could have read it. */
  break(): void {
    if (!this.open) return;
    this.open = false;
    this.#broken = true;
    if (this.agent.life !== this.#lives.agent) return;
    this.#scheduler.toLife(this.agent, hopMs, this.#onClosed);
  }
}

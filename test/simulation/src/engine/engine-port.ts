import type { Scheduler } from '../kernel/scheduler.js';
import type { VirtualProcess } from '../kernel/virtual-process.js';

/** Local sockets take this long. */
const hopMs = 0.2;

/** One connection of an agent with its engine: two streams that keep their order. */
export class PortConnection {
  open = true;
  /** The engine has taken a newer agent. */
  replaced = false;
  readonly agent: VirtualProcess;
  readonly engine: VirtualProcess;
  readonly #lives: { readonly agent: number; readonly engine: number };
  readonly #scheduler: Scheduler;
  readonly #onClosed: () => void;

  /** @param onClosed at the agent: the engine or this connection is gone */
  constructor(
    scheduler: Scheduler,
    agent: VirtualProcess,
    engine: VirtualProcess,
    onClosed: () => void,
  ) {
    this.#scheduler = scheduler;
    this.agent = agent;
    this.engine = engine;
    this.#lives = { agent: agent.life, engine: engine.life };
    this.#onClosed = onClosed;
  }

  toAgent(run: () => void): void {
    this.#carry(this.agent, this.#lives.agent, run);
  }

  toEngine(run: () => void): void {
    this.#carry(this.engine, this.#lives.engine, run);
  }

  #carry(to: VirtualProcess, life: number, run: () => void): void {
    if (!this.open || to.life !== life) return;
    this.#scheduler.toLife(to, hopMs, () => {
      if (this.open) run();
    });
  }

  /** The engine takes a newer agent, and says so. */
  replace(): void {
    this.replaced = true;
    this.close();
  }

  /** Either end has died, or the engine has taken a newer agent: the agent is told, if it lives. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    if (this.agent.life !== this.#lives.agent) return;
    this.#scheduler.toLife(this.agent, hopMs, this.#onClosed);
  }
}

import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import { present } from '../present.js';
import type { World } from '../world.js';

/** How long a dead process stays dead, milliseconds. */
const downMs: Readonly<Record<VirtualProcess['kind'], { least: number; spread: number }>> = {
  coordinator: { least: 500, spread: 20_000 },
  agent: { least: 300, spread: 10_000 },
  engine: { least: 1_000, spread: 40_000 },
  server: { least: 2_000, spread: 15_000 },
};
const stoppedMs = { least: 4_000, spread: 8_000 };
const watchMs = 5_000;

/** What runs beside the processes on real machines: starts again what has died. */
export class Supervisor {
  readonly #world: World;
  readonly #active: boolean;
  /** Processes that stay down until they are let go. */
  readonly #held = new Set<VirtualProcess>();
  /** Processes whose machine is there no more. */
  readonly #takenAway = new Set<VirtualProcess>();
  /** Ranks that have left: their engines are ended for good. */
  readonly #left = new Set<number>();

  /** @param active else nothing is started but by `start` */
  constructor(world: World, active: boolean) {
    this.#world = world;
    this.#active = active;
    if (active) this.#watch();
  }

  get ranksLeft(): ReadonlySet<number> {
    return this.#left;
  }

  /** The process, once dead, is not started again until `release`. */
  hold(process: VirtualProcess): void {
    this.#held.add(process);
  }

  /** The machine is there no more: whatever else happens, the process never runs again. */
  takeAway(process: VirtualProcess): void {
    this.#takenAway.add(process);
    this.hold(process);
    this.#world.scheduler.crash(process);
  }

  /** @param afterMs it is started; as long as for any other death where absent */
  release(process: VirtualProcess, afterMs?: number): void {
    if (this.#takenAway.has(process)) return;
    if (this.#held.delete(process) && !process.alive) this.#startSoon(process, afterMs);
  }

  /** The rank's engine is to end once it has stopped taking requests. */
  letLeave(rank: number): void {
    this.#left.add(rank);
  }

  onCrash(process: VirtualProcess): void {
    this.#startSoon(process);
  }

  #startSoon(process: VirtualProcess, afterMs?: number): void {
    const { scheduler, random } = this.#world;
    const { least, spread } = downMs[process.kind];
    if (!this.#active) return;
    scheduler.after(afterMs ?? least + random.next() * spread, () => {
      if (!this.#held.has(process)) this.start(process);
    });
  }

  start(process: VirtualProcess): void {
    const { coordinators, agents, servers, engines, scheduler } = this.#world;
    if (process.alive) return;
    switch (process.kind) {
      case 'coordinator':
        present(coordinators[process.index]).start();
        return;
      case 'agent':
        agents.find((agent) => agent.process === process)?.start();
        return;
      case 'server':
        scheduler.start(present(servers[process.index]).process);
        this.#world.log(() => `${process.name} starts`);
        this.#world.linksChanged();
        return;
      case 'engine': {
        const engine = present(engines[process.index]);
        if (!this.#left.has(engine.rank)) engine.start();
        return;
      }
    }
  }

  /** Engines that no record lists any more have stopped: they are ended, and started anew. */
  #watch(): void {
    const { scheduler, engines } = this.#world;
    scheduler.after(watchMs, () => this.#watch());
    for (const engine of engines) if (this.#hasStopped(engine)) this.#endSoon(engine);
    const isUnlisted = (engine: SimulatedEngine) => !engine.routes || !engine.swap.listed;
    if (this.#left.size > 0 && engines.every(isUnlisted)) this.#bringBack();
  }

  /** A whole group that starts again needs every rank: those that have left return. */
  #bringBack(): void {
    const { engines } = this.#world;
    const ranks = [...this.#left];
    this.#left.clear();
    for (const rank of ranks) {
      // A rank that was moved returns where it was last, of the machines that are not taken away.
      const [latest] = engines
        .filter((engine) => engine.rank === rank && engine.startedAs > 0)
        .filter(({ process }) => !this.#held.has(process))
        .sort((a, b) => b.startedAs - a.startedAs);
      if (latest !== undefined && !latest.process.alive) this.#startSoon(latest.process);
    }
  }

  #hasStopped(engine: SimulatedEngine): boolean {
    const { process, phase } = engine;
    return process.alive && phase === 'running' && engine.swap.standing === 'stopped';
  }

  #endSoon(engine: SimulatedEngine): void {
    const { scheduler, random } = this.#world;
    const { life } = engine.process;
    scheduler.after(stoppedMs.least + random.next() * stoppedMs.spread, () => {
      if (engine.process.life === life) scheduler.crash(engine.process);
    });
  }
}

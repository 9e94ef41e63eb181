import { describe, expect, it } from 'vitest';
import { ExchangeWorld, emptyDispatch, emptyResults, flush } from './exchange-world.js';

const numRanks = 4;
const numLayers = 3;
const eventsMax = 3_000;
const seeds = Array.from({ length: 25 }, (_, index) => index + 1);

/** Numbers from 0 to below `below`, the same for a seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

/** Ranks that take steps for ever, among whoever is connected, and now and then rest or redo one. */
class Group {
  readonly world = new ExchangeWorld(numRanks);
  readonly stepsDone = new Array<number>(numRanks).fill(0);
  readonly #random: (below: number) => number;
  readonly #resting = new Set<number>();
  readonly #wake = new Map<number, () => void>();
  calm = false;

  constructor(random: (below: number) => number) {
    this.#random = random;
    for (let rank = 0; rank < numRanks; rank += 1) void this.#run(rank);
  }

  async #run(rank: number): Promise<never> {
    const exchange = this.world.exchange(rank);
    for (;;) {
      if (this.#resting.has(rank)) {
        exchange.rest();
        await new Promise<void>((resolve) => this.#wake.set(rank, resolve));
        continue;
      }
      exchange.begin(exchange.nextStep, this.world.linksOf(rank));
      await this.#step(rank);
      this.stepsDone[rank] = (this.stepsDone[rank] ?? 0) + 1;
      await flush();
    }
  }

  async #step(rank: number): Promise<void> {
    const exchange = this.world.exchange(rank);
    for (let layer = 0; layer < numLayers; layer += 1) {
      const { step, attempt } = exchange;
      exchange.send(layer, () => emptyDispatch(step, layer, attempt));
      if (exchange.awaitsDispatches(layer)) {
        const gathered = await exchange.gatherDispatches(layer);
        for (const [link, dispatch] of gathered) exchange.reply(link, emptyResults(dispatch));
      }
      if (!this.calm && attempt < 3 && this.#random(20) === 0) {
        exchange.restart();
        layer = -1;
        continue;
      }
      await exchange.gatherResults();
    }
  }

  /** One thing happens: a frame arrives, or the group changes. */
  disturb(): void {
    const left = this.#random(numRanks);
    const right = this.#random(numRanks);
    switch (this.#random(12)) {
      case 0: {
        const found = [...this.world.connections][this.#random(this.world.connections.size)];
        if (found !== undefined) this.world.break(found);
        return;
      }
      case 1:
      case 2:
        if (left !== right && !this.world.areConnected(left, right))
          this.world.connect(left, right);
        return;
      case 3:
        if (this.#resting.has(left)) this.awake(left);
        else this.#resting.add(left);
        return;
      default:
        this.deliverOne();
    }
  }

  deliverOne(): void {
    const { waiting } = this.world;
    const end = waiting[this.#random(waiting.length)];
    if (end !== undefined) this.world.deliver(end);
  }

  awake(rank: number): void {
    this.#resting.delete(rank);
    this.#wake.get(rank)?.();
    this.#wake.delete(rank);
  }

  heal(): void {
    this.calm = true;
    for (let left = 0; left < numRanks; left += 1) {
      this.awake(left);
      for (let right = 0; right < left; right += 1) {
        if (!this.world.areConnected(left, right)) this.world.connect(left, right);
      }
    }
  }
}

describe('ranks whose connections come and go at any moment', () => {
  it.each(seeds)('are in step again once all are connected (seed %i)', async (seed) => {
    const group = new Group(randomOf(seed));
    for (let event = 0; event < 400; event += 1) {
      group.disturb();
      await flush();
    }
    group.heal();
    const before = [...group.stepsDone];
    const isDone = () => group.stepsDone.every((steps, rank) => steps >= (before[rank] ?? 0) + 5);
    for (let event = 0; event < eventsMax && !isDone(); event += 1) {
      group.deliverOne();
      await flush();
    }
    expect(isDone()).toBe(true);
    const steps = group.world.exchanges.map(({ step }) => step);
    expect(Math.max(...steps) - Math.min(...steps)).toBeLessThanOrEqual(1);
  });
});

import type { Fault } from './fault.js';

/** The next stagings of some engines fail, stand still, or bring damaged weights. */
export function badStaging(kind: 'fails' | 'stalls' | 'corrupts', engines: number): Fault {
  return {
    name: `staging ${kind}`,
    strike: (world) => {
      const { random, numRanks } = world;
      for (let count = 0; count < engines; count += 1) {
        const engine = world.engineAt(random.integer(numRanks));
        world.log(() => `the next staging of ${engine.name} ${kind}`);
        if (kind === 'fails') engine.faults.failNext = true;
        else if (kind === 'corrupts') engine.faults.corruptNext = true;
        else engine.faults.stallNextMs = 3_000 + random.next() * 30_000;
      }
      world.situations.count(`staging ${kind}`);
    },
  };
}

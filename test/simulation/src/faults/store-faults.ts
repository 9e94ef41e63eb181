import type { Fault } from './fault.js';
import { loseWrites } from './lose-writes.js';
import { currentPhase } from './process-faults.js';

/** Nobody is answered, as after the loss of the stream's leader or with a full disk. */
export function storeStall(forMs: number): Fault {
  return {
    name: 'stall of the store',
    strike: (world, clock) => {
      world.situations.count(`stall of the store: ${currentPhase(world)}`);
      world.log(() => `the store stands still for ${Math.round(forMs)} ms`);
      world.cluster.stall(forMs);
      clock.later(forMs, () => world.cluster.endStall());
    },
  };
}

/** Acknowledged writes are lost, the newest map record among them where there is one. */
export function recordsLost(more: number, withStall: boolean): Fault {
  return {
    name: 'records lost',
    strike: (world) => {
      const depth = world.store.depthOf('map.');
      const keys = loseWrites(world, depth + more);
      if (keys.some((key) => key.startsWith('map.'))) world.situations.count('map record lost');
      if (keys.includes('control')) world.situations.count('control record lost');
      if (keys.includes('leader')) world.situations.count('leader record lost');
      if (withStall) world.cluster.stall(2_000 + world.random.next() * 6_000);
    },
  };
}

/** Writes land late or without an answer, reads are old, for a while. */
export function badStore(forMs: number): Fault {
  return {
    name: 'ambiguous store',
    strike: (world, clock) => {
      const { random, cluster } = world;
      const { weather } = cluster;
      world.situations.count('ambiguous store');
      weather.late = random.next() * 0.3;
      weather.lateMs = random.next() * 30_000;
      weather.silent = random.next() * 0.3;
      weather.stale = random.next() * 0.5;
      weather.staleWrites = 1 + random.integer(12);
      world.log(() => 'writes land late or unanswered, reads are old');
      clock.later(forMs, () => {
        Object.assign(weather, { late: 0, lateMs: 0, silent: 0, stale: 0, staleWrites: 0 });
        world.log(() => 'the store is itself again');
      });
    },
  };
}

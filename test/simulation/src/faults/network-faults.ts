import type { CutDirection } from '../network/reachability.js';
import type { World } from '../world.js';
import type { Fault, FaultClock } from './fault.js';
import { currentPhase } from './process-faults.js';

const directions: readonly CutDirection[] = ['both', 'both', 'forth', 'back'];

function chooseDirection(world: World): CutDirection {
  return directions[world.random.integer(directions.length)] ?? 'both';
}

function mendLater(world: World, clock: FaultClock, forMs: number, mend: () => void): void {
  world.linksChanged();
  clock.later(forMs, () => {
    mend();
    world.log(() => 'a partition is mended');
    world.linksChanged();
  });
}

function cutBus(
  world: World,
  clock: FaultClock,
  left: readonly number[],
  forMs: number,
  what: string,
): void {
  const all = world.busHosts;
  const right = all.filter((host) => !left.includes(host));
  const direction = chooseDirection(world);
  world.log(() => `partition (${direction}) on the bus: ${what}`);
  mendLater(world, clock, forMs, world.busLinks.cut(left, right, direction));
}

/** One host of the bus, or a random half of them, is cut off. */
export function busPartition(forMs: number): Fault {
  return {
    name: 'partition of the bus',
    strike: (world, clock) => {
      const { random, busHosts } = world;
      world.situations.count('partition of the bus');
      if (random.next() < 0.4) {
        const host = random.integer(busHosts.length);
        cutBus(world, clock, [host], forMs, `host ${host}`);
        return;
      }
      const half = busHosts.filter(() => random.next() < 0.5);
      cutBus(world, clock, half, forMs, `hosts ${half.join(' ')}`);
    },
  };
}

/** Whoever leads is cut off from everybody. */
export function leaderIsolated(forMs: number): Fault {
  return {
    name: 'leader cut off',
    strike: (world, clock) => {
      const leader = world.coordinators.find(({ process, listens }) => process.alive && listens);
      if (leader === undefined) return;
      world.situations.count(`leader cut off: ${currentPhase(world)}`);
      cutBus(world, clock, [leader.client.host], forMs, leader.name);
    },
  };
}

/** The engines' own network: one engine from all, one pair, or a split. */
export function fabricPartition(kind: 'one' | 'pair' | 'split', forMs: number): Fault {
  return {
    name: `partition of engines: ${kind}`,
    strike: (world, clock) => {
      const { random, numRanks, fabricLinks } = world;
      world.situations.count(`partition of engines: ${kind}`);
      const stations = Array.from({ length: world.engines.length }, (_, station) => station);
      const one = random.integer(numRanks);
      const left = kind === 'split' ? stations.filter(() => random.next() < 0.4) : [one];
      const other = (one + 1 + random.integer(numRanks - 1)) % numRanks;
      const right = kind === 'pair' ? [other] : stations.filter((at) => !left.includes(at));
      const direction = chooseDirection(world);
      world.log(
        () => `partition (${direction}) of engines: ${left.join(' ')} | ${right.join(' ')}`,
      );
      mendLater(world, clock, forMs, fabricLinks.cut(left, right, direction));
    },
  };
}

/** A rank's machine is cut off whole, and the rank is started elsewhere while it lives on. */
export function movedElsewhere(forMs: number): Fault {
  return {
    name: 'rank moved while its machine lives',
    strike: (world, clock) => {
      const { random, numRanks, engines, supervisor, scheduler } = world;
      const engine = world.engineAt(random.integer(numRanks));
      if (!engine.process.alive) return;
      const spare = world.takeSpare();
      if (spare === null) return;
      world.situations.count('rank moved while its machine lives');
      const agent = world.agentAt(engine.station);
      const newAgent = world.agentAt(spare.station);
      const all = engines.map(({ station }) => station).filter((at) => at !== engine.station);
      mendLater(world, clock, forMs, world.fabricLinks.cut([engine.station], all, 'both'));
      cutBus(world, clock, [agent.client.host], forMs, `machine of rank ${engine.rank}`);
      scheduler.after(3_000 + random.next() * 10_000, () => {
        spare.takeRank(engine.rank);
        newAgent.takeRank(engine.rank);
        spare.start();
        newAgent.start();
      });
      // When it is back the old machine is a second one for its rank, and is ended by its owner.
      clock.later(forMs + 20_000 + random.next() * 20_000, () => {
        const agents = world.agents.filter((one) => one.engine === engine);
        for (const { process } of [engine, ...agents]) supervisor.takeAway(process);
      });
    },
  };
}

/** Messages are lost, doubled and late for a while. */
export function badWeather(forMs: number): Fault {
  return {
    name: 'bad weather',
    strike: (world, clock) => {
      const { random, network } = world;
      const { weather } = network;
      world.situations.count('bad weather');
      weather.lose = random.next() * 0.25;
      weather.duplicate = random.next() * 0.2;
      weather.delay = random.next() * 0.3;
      weather.lateMs = 200 + random.next() * 8_000;
      world.log(() => `messages are lost (${weather.lose.toFixed(2)}), doubled and late`);
      clock.later(forMs, () => {
        Object.assign(weather, { lose: 0, duplicate: 0, delay: 0, lateMs: 0 });
        world.log(() => 'messages get through again');
      });
    },
  };
}

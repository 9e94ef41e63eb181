import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { World } from '../world.js';
import type { Fault, FaultClock } from './fault.js';
import { loseWrites } from './lose-writes.js';

/* A member is vouched for as dead that alone knows an outcome, and that its peers may still hear. */

const ranksMin = 4;
const pollMs = 200;

/** All agents but this one hear nothing. @returns what mends it */
function tellOnly(world: World, station: number): () => void {
  const { busLinks, busHosts, agents } = world;
  const deaf = agents
    .filter((agent) => agent.engine.station !== station)
    .map(({ client }) => client.host);
  const others = busHosts.filter((host) => !deaf.includes(host));
  const mend = busLinks.cut(others, deaf, 'forth');
  world.linksChanged();
  return once(world, mend);
}

function isolate(world: World, host: number): () => void {
  const others = world.busHosts.filter((other) => other !== host);
  const mend = world.busLinks.cut([host], others, 'both');
  world.linksChanged();
  return once(world, mend);
}

function once(world: World, mend: () => void): () => void {
  let mended = false;
  return () => {
    if (mended) return;
    mended = true;
    mend();
    world.linksChanged();
  };
}

/** The machine is gone, with its disk. */
function loseMachine(world: World, engine: SimulatedEngine): void {
  const agents = world.agents.filter((agent) => agent.engine === engine);
  const processes = [engine.process, ...agents.map(({ process }) => process)];
  for (const process of processes) world.supervisor.hold(process);
  for (const process of processes) if (process.alive) world.scheduler.crash(process);
  for (const agent of agents) agent.disk.durable = world.machines.emptyDurableRankState;
}

/**
 * One rank alone hears that a version is void, and stands still; the store forgets the record, the
 * leader dies, and an operator vouches for the rank's death. It wakes, and a peer that has asked it hears
 * it, while the next leader has some answers and waits for the last, of a rank that does not. Or its
 * engine is started anew beside an agent that has kept the void, and peers hear that engine.
 */
export const deadMemberHeard: Fault = {
  name: 'a member vouched for as dead is heard',
  phase: 'preparing',
  strike: (world, clock) => {
    const { random, numRanks, scheduler, store, situations } = world;
    if (numRanks < ranksMin) return;
    const station = random.integer(numRanks);
    const engine = world.engineAt(station);
    if (!engine.process.alive || engine.process.paused) return;
    situations.count('a member vouched for as dead is heard');
    const { life } = engine.process;
    const startsAnew = random.next() < 0.5;
    // Its no comes once the others have voted.
    engine.faults.failNext = true;
    clock.next(25, () => {
      const mendTelling = tellOnly(world, station);
      clock.later(30_000, mendTelling);
      clock.next(2_500, () => {
        world.log(() => `${engine.name} stands still, and its agent is cut off`);
        if (engine.process.life === life) scheduler.pause(engine.process, 120_000);
        const mendAgent = isolate(world, world.agentAt(station).client.host);
        clock.later(100_000, mendAgent);
        loseWrites(world, store.depthOf('map.'));
        crashLeader(world);
        mendTelling();
        const last = (station + 1) % numRanks;
        const mendLast = isolate(world, world.agentAt(last).client.host);
        clock.later(60_000, mendLast);
        const mendPair = world.fabricLinks.cut([last], [station], 'both');
        clock.later(60_000, once(world, mendPair));
        world.linksChanged();
        awaitTakeover(world, clock, 300, () => {
          clock.next(startsAnew ? 12_000 : 2_300, mendLast);
          // Another fault may have ended it meanwhile: its successor is not dead.
          if (engine.process.life !== life) return;
          world.operator.vouchFor(engine);
          world.engineAt((station + 2) % numRanks).peers.ask(engine);
          clock.next(1_800, () => {
            if (engine.process.life !== life) return;
            if (startsAnew) startAnew(world, clock, engine);
            else if (engine.process.paused) scheduler.resume(engine.process);
          });
        });
        clock.later(70_000, () => {
          // Healing may come before it starts anew: then it is taken away as well.
          if (startsAnew && engine.process.life !== life) {
            world.supervisor.release(engine.process);
            mendAgent();
            return;
          }
          // What it alone has acted on goes with its disk, vouched for or not.
          const own = world.agents.filter((agent) => agent.engine === engine);
          world.rules.outcomes.countOut(engine.incarnation);
          loseMachine(world, engine);
          world.rules.outcomes.countIn(engine.incarnation);
          mendAgent();
          world.log(() => `${engine.name} is taken away, with its disk`);
          for (const { process } of [engine, ...own]) world.supervisor.release(process);
        });
      });
    });
  },
};

/** Its agent lives on, and hears no leader. */
function startAnew(world: World, clock: FaultClock, engine: SimulatedEngine): void {
  world.situations.count('a member vouched for as dead starts anew');
  const { incarnation } = engine;
  world.supervisor.hold(engine.process);
  world.scheduler.crash(engine.process);
  world.rules.outcomes.countIn(incarnation);
  clock.next(300, () => world.supervisor.release(engine.process, 0));
}

function crashLeader(world: World): void {
  const leader = world.coordinators.find(({ process, listens }) => process.alive && listens);
  if (leader !== undefined) world.scheduler.crash(leader.process);
}

function awaitTakeover(world: World, clock: FaultClock, looksLeft: number, act: () => void): void {
  const isTakingOver = world.coordinators.some(
    ({ process, state }) => process.alive && !process.paused && state.role.kind === 'taking-over',
  );
  if (isTakingOver) act();
  else if (looksLeft > 0) {
    clock.next(pollMs, () => awaitTakeover(world, clock, looksLeft - 1, act));
  }
}

import type { World } from '../world.js';
import type { Fault, FaultClock } from './fault.js';
import { loseWrites } from './lose-writes.js';
import { movedElsewhere } from './network-faults.js';
import { groupRestart, secondAgent } from './process-faults.js';

/* Several things that go wrong one after another, where chance alone would hardly bring them together. */

function crashLeader(world: World): void {
  const leader = world.coordinators.find(({ process, listens }) => process.alive && listens);
  if (leader !== undefined) world.scheduler.crash(leader.process);
}

/** What an agent says gets nowhere, and what it is told comes through. */
function unhear(world: World, clock: FaultClock, station: number, forMs: number): void {
  const { busLinks, busHosts } = world;
  const { host } = world.agentAt(station).client;
  const others = busHosts.filter((other) => other !== host);
  world.log(() => `nobody hears agent ${station} for a while`);
  const mend = busLinks.cut([host], others, 'forth');
  clock.later(forMs, () => {
    mend();
    world.log(() => `agent ${station} is heard again`);
    world.linksChanged();
  });
}

/**
 * The store forgets a claim that ranks have been asked under, and its claimant dies or stands still:
 * another claims under the same term, with a nonce of its own.
 */
export const claimLost: Fault = {
  name: 'a claim is lost',
  phase: 'taking over',
  strike: (world, clock) => {
    const { random, scheduler, store, coordinators } = world;
    clock.next(20 + random.next() * 400, () => {
      const claimant = coordinators.find(({ process, listens }) => process.alive && listens);
      if (claimant === undefined) return;
      world.situations.count('a claim is lost');
      loseWrites(world, store.depthOf('leader'));
      if (random.next() < 0.5) {
        scheduler.crash(claimant.process);
        return;
      }
      const pauseMs = 15_000 + random.next() * 20_000;
      world.log(() => `${claimant.name} stands still for ${Math.round(pauseMs)} ms`);
      const { life } = claimant.process;
      scheduler.pause(claimant.process, pauseMs);
      clock.later(pauseMs, () => {
        if (claimant.process.life === life && claimant.process.paused) {
          scheduler.resume(claimant.process);
        }
      });
    });
  },
};

/**
 * A leader decides void and dies with its write under way; a rank votes late, and the next leader
 * finds every vote and commits; the store forgets the commit, and the void lands after all.
 */
export const voidOvertaken: Fault = {
  name: 'a void is overtaken by a commit',
  phase: 'preparing',
  strike: (world, clock) => {
    const { random, store, cluster, engines } = world;
    world.situations.count('a void is overtaken by a commit');
    for (const engine of engines) engine.faults.stallNextMs = 14_900 + random.next() * 3_000;
    // The leader's own deadline ends preparing 15 s from now, on its clock.
    cluster.delayNext('map.', 60_000);
    clock.next(18_500 + random.next() * 1_000, () => crashLeader(world));
    clock.next(70_000, () => {
      loseWrites(world, store.depthOf('map.'));
    });
    clock.next(80_000 + random.next() * 10_000, () => crashLeader(world));
  },
};

/**
 * An engine has voted and is replaced by one that starts empty, while nobody hears its agent: the
 * leader still waits for a vote, which the engine that gave it no longer stands for.
 */
export const replacedUnheard: Fault = {
  name: 'an engine is replaced unheard',
  phase: 'preparing',
  strike: (world, clock) => {
    const { random, scheduler, numRanks } = world;
    const station = random.integer(numRanks);
    const engine = world.engineAt(station);
    if (!engine.process.alive) return;
    world.situations.count('an engine is replaced unheard');
    unhear(world, clock, station, 5_000 + random.next() * 5_000);
    clock.next(1_000 + random.next() * 500, () => {
      world.supervisor.hold(engine.process);
      scheduler.crash(engine.process);
      clock.next(200, () => world.supervisor.release(engine.process, 0));
    });
  },
};

/** A staging fails, and the rank's no is lost: the leader asks again for what can be voted on once. */
export const noUnheard: Fault = {
  name: 'a no is lost',
  phase: 'preparing',
  strike: (world, clock) => {
    const { random, numRanks, situations } = world;
    const station = random.integer(numRanks);
    situations.count('a no is lost');
    world.engineAt(station).faults.failNext = true;
    unhear(world, clock, station, 2_500 + random.next() * 8_000);
  },
};

/** An agent that knows of nothing comes to an engine that has voted, while others still stage. */
export const secondAgentAfterVote: Fault = {
  name: 'a second agent after the vote',
  phase: 'preparing',
  strike: (world, clock) => {
    const { random, numRanks } = world;
    world.engineAt(random.integer(numRanks)).faults.stallNextMs = 4_000 + random.next() * 9_000;
    clock.next(500 + random.next() * 2_000, () => secondAgent.strike(world, clock));
  },
};

/**
 * A whole group starts again, and before a version lists it one of its machines is cut off, and its
 * rank is started elsewhere: the engine that was replaced still serves what the group started with.
 */
export const starterMoved: Fault = {
  name: 'an engine of a new group is replaced',
  strike: (world, clock) => {
    groupRestart(false).strike(world, clock);
    const moved = movedElsewhere(20_000 + world.random.next() * 40_000);
    const look = (looksLeft: number): void => {
      const started = world.engines.filter((engine) => engine.routes && !engine.swap.listed);
      if (started.length === world.numRanks) {
        world.situations.count('an engine of a new group is replaced');
        moved.strike(world, clock);
      } else if (looksLeft > 0) clock.next(500, () => look(looksLeft - 1));
    };
    look(120);
  },
};

/** A rank that is to be drained gives its weights to nobody, and lives on: so does whatever is wrong. */
export const drainedGivesNothing: Fault = {
  name: 'a drained rank gives nothing',
  strike: (world) => {
    const engine = world.engineAt(world.random.integer(world.numRanks));
    if (!engine.process.alive) return;
    world.situations.count('a source gives nothing');
    world.log(() => `${engine.name} gives its weights to nobody any more`);
    engine.faults.givesNothing = true;
    world.operator.ask({ kind: 'drain', rank: engine.rank });
  },
};

/**
 * An agent stands still while its engine is replaced, and another is started on its disk: when it wakes
 * it knows only of what it wrote itself.
 */
export const pausedHolder: Fault = {
  name: 'the disk of a paused agent is taken',
  strike: (world, clock) => {
    const { random, scheduler, supervisor, situations } = world;
    const first = world.agentAt(random.integer(world.numRanks));
    if (!first.process.alive || first.process.paused || !first.engine.process.alive) return;
    situations.count('the disk of a paused agent is taken');
    world.log(() => `${first.name} stands still, and another is started on its disk`);
    scheduler.pause(first.process, 12_000 + random.next() * 10_000);
    scheduler.crash(first.engine.process);
    const second = world.addAgent(first.engine, first.disk);
    supervisor.hold(second.process);
    second.start();
    clock.later(40_000, () => {
      scheduler.crash(second.process);
      supervisor.release(first.process);
    });
  },
};

import type { VirtualProcess } from '../kernel/virtual-process.js';
import { phaseOf } from '../phases.js';
import type { World } from '../world.js';
import type { Fault, FaultClock } from './fault.js';

/** Whom a fault strikes. */
export const victims = ['leader', 'standby', 'agent', 'engine', 'server'] as const;
export type Victim = (typeof victims)[number];

/** A process of that kind that runs, null where there is none. */
export function chooseVictim(world: World, victim: Victim): VirtualProcess | null {
  const candidates = runningProcesses(world, victim).filter(({ alive }) => alive);
  return candidates[world.random.integer(Math.max(1, candidates.length))] ?? null;
}

function runningProcesses(world: World, victim: Victim): VirtualProcess[] {
  switch (victim) {
    case 'leader':
      return world.coordinators.filter(({ listens }) => listens).map(({ process }) => process);
    case 'standby':
      return world.coordinators.filter(({ listens }) => !listens).map(({ process }) => process);
    case 'agent':
      return world.agents.map(({ process }) => process);
    case 'engine':
      return world.engines.map(({ process }) => process);
    case 'server':
      return world.servers.map(({ process }) => process);
  }
}

/** What the leader is at, for the record of what came up. */
export function currentPhase(world: World): string {
  for (const coordinator of world.coordinators) {
    if (coordinator.process.alive && coordinator.listens) {
      return phaseOf(coordinator.state) ?? 'no leader';
    }
  }
  return 'no leader';
}

/** @param effectsLeft dies once so many of its next effects are done, 0: at once */
export function crash(victim: Victim, effectsLeft: number): Fault {
  return {
    name: `crash of ${victim}`,
    strike: (world) => {
      const process = chooseVictim(world, victim);
      if (process === null) return;
      world.situations.count(`crash of ${victim}: ${currentPhase(world)}`);
      if (effectsLeft > 0 && victim !== 'server' && victim !== 'engine') {
        process.interruption = { effectsLeft, pauseMs: null };
        return;
      }
      world.scheduler.crash(process);
    },
  };
}

/** @param effectsLeft stands still once so many of its next effects are done, 0: at once */
export function pause(victim: Victim, pauseMs: number, effectsLeft: number): Fault {
  return {
    name: `pause of ${victim}`,
    strike: (world, clock) => {
      const process = chooseVictim(world, victim);
      if (process === null) return;
      world.situations.count(`pause of ${victim}: ${currentPhase(world)}`);
      world.log(() => `${process.name} stands still for ${Math.round(pauseMs)} ms`);
      const { life } = process;
      clock.later(pauseMs, () => {
        if (process.life === life && process.paused) world.scheduler.resume(process);
      });
      if (effectsLeft > 0) process.interruption = { effectsLeft, pauseMs };
      else world.scheduler.pause(process, pauseMs);
      if (victim === 'server') world.linksChanged();
    },
  };
}

/** Every engine of the group ends at once; perhaps the agents too. They all start again. */
export function groupRestart(withAgents: boolean): Fault {
  return {
    name: 'group restart',
    strike: (world) => {
      world.situations.count('group restart');
      for (const { process } of world.engines) world.scheduler.crash(process);
      if (withAgents) for (const { process } of world.agents) world.scheduler.crash(process);
    },
  };
}

/** A machine is gone with its agent's disk: nobody has seen the engine's process end. */
export function machineLost(downMs: number): Fault {
  return {
    name: 'machine lost',
    strike: (world, clock) => {
      const station = world.random.integer(world.numRanks);
      const engine = world.engineAt(station);
      const agents = world.agents.filter((agent) => agent.engine === engine);
      if (!engine.process.alive) return;
      world.situations.count('machine lost');
      world.log(() => `the machine of rank ${engine.rank} is lost, with its disk`);
      const processes = [engine.process, ...agents.map(({ process }) => process)];
      for (const process of processes) world.supervisor.hold(process);
      for (const process of processes) world.scheduler.crash(process);
      for (const agent of agents) agent.disk.durable = world.machines.emptyDurableRankState;
      clock.later(downMs, () => {
        for (const process of processes) world.supervisor.release(process);
      });
    },
  };
}

/** A coordinator is stopped in order: it gives the lease up, then ends. */
export const orderlyStop: Fault = {
  name: 'orderly stop of leader',
  strike: (world) => {
    const leader = world.coordinators.find(({ leads }) => leads);
    if (leader === undefined || leader.process.paused) return;
    world.situations.count('orderly stop of leader');
    world.log(() => `${leader.name} is asked to stop`);
    leader.step({ kind: 'stop' });
    world.scheduler.toLife(leader.process, 3_000, () => world.scheduler.crash(leader.process));
  },
};

/** A second agent is started for an engine that has one, with a disk of its own, which is empty. */
export function startSecondAgent(world: World, clock: FaultClock, station: number): void {
  const first = world.agentAt(station);
  world.situations.count('two agents for one engine');
  const second = world.addAgent(first.engine, world.emptyDisk());
  world.supervisor.hold(second.process);
  second.start();
  clock.later(5_000 + world.random.next() * 20_000, () => {
    world.scheduler.crash(second.process);
    world.supervisor.release(first.process);
  });
}

export const secondAgent: Fault = {
  name: 'second agent',
  strike: (world, clock) => startSecondAgent(world, clock, world.random.integer(world.numRanks)),
};

/**
 * A second agent is started on the disk that another has open, again and again: once the first has
 * ended, it may be the one that goes on.
 */
export const secondAgentOnDisk: Fault = {
  name: 'second agent on one disk',
  strike: (world, clock) => {
    const { random, scheduler, supervisor, situations } = world;
    const first = world.agentAt(random.integer(world.numRanks));
    situations.count('two agents on one disk');
    const second = world.addAgent(first.engine, first.disk);
    second.start();
    clock.next(random.next() * 20_000, () => scheduler.crash(first.process));
    clock.later(20_000 + random.next() * 20_000, () => {
      supervisor.hold(second.process);
      scheduler.crash(second.process);
      supervisor.release(first.process);
    });
  },
};

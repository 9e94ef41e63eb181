import type { PortFaults } from '../engine/port-faults.js';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { World } from '../world.js';
import type { Fault, FaultClock } from './fault.js';
import { startSecondAgent } from './process-faults.js';

/* What goes wrong between an engine and its agent while both live. */

/** A fault waits so long for a command that it can strike. */
const waitMs = 60_000;

function chooseEngine(world: World): SimulatedEngine {
  return world.engineAt(world.random.integer(world.numRanks));
}

/** The next commands of some engines fare as told. */
export function badCommand(fate: NonNullable<PortFaults['nextCommand']>, engines: number): Fault {
  return {
    name: `port: ${fate}`,
    strike: (world, clock) => {
      for (let count = 0; count < engines; count += 1) {
        const { portFaults } = chooseEngine(world);
        portFaults.nextCommand = fate;
        clock.later(waitMs, () => {
          portFaults.nextCommand = null;
        });
      }
    },
  };
}

/** The connection of an engine with its agent breaks. */
export const portBroken: Fault = {
  name: 'port: broken',
  strike: (world) => {
    const { station, name } = chooseEngine(world);
    if (!world.agentAt(station).port.break()) return;
    world.situations.count('port: broken');
    world.log(() => `the connection of ${name} with its agent breaks`);
  },
};

/** An agent reads late what its engine sends, and then the connection breaks with all that is on it. */
export function answersLate(lagMs: number): Fault {
  return {
    name: 'port: answers late',
    strike: (world, clock) => {
      const engine = chooseEngine(world);
      lagBehind(world, clock, engine, lagMs);
      clock.next(world.random.next() * 2 * lagMs, () => {
        engine.portFaults.lagMs = 0;
        world.agentAt(engine.station).port.break();
      });
    },
  };
}

function lagBehind(world: World, clock: FaultClock, engine: SimulatedEngine, lagMs: number): void {
  const { port } = world.agentAt(engine.station);
  world.situations.count('port: answers late');
  world.log(() => `${engine.name} is heard ${Math.round(lagMs)} ms late`);
  engine.portFaults.lagMs = lagMs;
  port.lag(lagMs);
  clock.later(2 * lagMs, () => {
    engine.portFaults.lagMs = 0;
    port.lag(0);
  });
}

/**
 * What an engine has said is not read yet when it ends. The next one greets, and stands still before
 * it hears anything: what was late may be all that seems to come from it.
 */
export const answersOutlived: Fault = {
  name: 'port: answers outlive their engine',
  strike: (world, clock) => {
    const { random, scheduler, supervisor } = world;
    const engine = chooseEngine(world);
    if (!engine.process.alive) return;
    lagBehind(world, clock, engine, 12_000);
    clock.next(1_000 + random.next() * 3_000, () => {
      if (!world.agentAt(engine.station).port.break() || !engine.process.alive) return;
      world.situations.count('port: answers outlive their engine');
      engine.portFaults.lagMs = 0;
      supervisor.hold(engine.process);
      scheduler.crash(engine.process);
      clock.later(200, () => supervisor.release(engine.process, 0));
      engine.portFaults.pauseOnceGreetedMs = 12_000;
      clock.later(15_000, () => {
        engine.portFaults.pauseOnceGreetedMs = 0;
      });
    });
  },
};

/** An agent dials anew and is slow to greet; a second one comes after it, and is quicker. */
export const greetingsCross: Fault = {
  name: 'port: greetings cross',
  strike: (world, clock) => {
    const engine = chooseEngine(world);
    if (!world.agentAt(engine.station).port.break()) return;
    engine.portFaults.nextGreetingMs = 1_500 + world.random.next() * 3_000;
    clock.next(1_200, () => startSecondAgent(world, clock, engine.station));
  },
};

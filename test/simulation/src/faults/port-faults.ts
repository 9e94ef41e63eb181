import type { PortFaults } from '../engine/port-faults.js';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { World } from '../world.js';
import type { Fault } from './fault.js';
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

/**
 * An agent reads late what its engine sends. The connection then breaks with all that on its way, and
 * perhaps the engine ends, so that another incarnation has said hello by the time that it would be read.
 */
export function answersLate(lagMs: number, engineEnds: boolean): Fault {
  return {
    name: 'port: answers late',
    strike: (world, clock) => {
      const { random, scheduler, supervisor } = world;
      const engine = chooseEngine(world);
      const { port } = world.agentAt(engine.station);
      world.situations.count('port: answers late');
      world.log(() => `${engine.name} is heard ${Math.round(lagMs)} ms late`);
      engine.portFaults.lagMs = lagMs;
      port.lag(lagMs);
      clock.later(30_000, () => {
        engine.portFaults.lagMs = 0;
        port.lag(0);
      });
      clock.next(random.next() * 30_000, () => {
        engine.portFaults.lagMs = 0;
        if (!port.break() || !engineEnds || !engine.process.alive) return;
        supervisor.hold(engine.process);
        scheduler.crash(engine.process);
        clock.later(200, () => supervisor.release(engine.process, 0));
      });
    },
  };
}

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

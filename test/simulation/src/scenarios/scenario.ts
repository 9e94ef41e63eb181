import * as machines from '@isobar/protocol';
import type { CutDirection } from '../network/reachability.js';
import { phaseOf } from '../phases.js';
import { present } from '../present.js';
import type { Wish } from '../processes/operator.js';
import type { SimulatedCoordinator } from '../processes/simulated-coordinator.js';
import { unsettled } from '../rules/settled.js';
import { World } from '../world.js';
import { formatScenario, parseScenario, type ScenarioBlock } from './scenario-file.js';

/** Nothing that a scenario waits for takes longer, in virtual milliseconds. */
const waitMaxMs = 180_000;

/** Runs a scenario file's commands. @returns the file as it should be */
export function runScenario(text: string): string {
  const scenario = new Scenario();
  const blocks = parseScenario(text).map((block): ScenarioBlock => {
    return { ...block, expected: scenario.run(block.command) };
  });
  return formatScenario(blocks);
}

/**
 * A world that nothing happens to but what the commands say:
 *
 *   group ranks=3 coordinators=2 seed=1   starts one, and waits until it is settled
 *   run 5s                                lets time pass
 *   wait settled | phase preparing | staged 1 | created 1 | lost leader | unserved 2
 *   ask rebalance | rollback | drain 1 | leave 1 | cancel | pause | resume | declare-dead 1
 *   crash leader | coordinator 0 | agent 0 | engine 0 | server 0 | group
 *   start coordinator 0 | agent 0 | engine 0 | server 0 | group
 *   pause leader 20s | agent 0 5s | engine 0 5s
 *   cut leader | agent 0 | engine 0 [forth | back]   from everybody, on its network
 *   mend                                  all that is cut
 *   store loses 3 | stalls 10s | answers nothing
 *   staging of 1 fails | corrupts
 *   show                                  who holds what
 */
class Scenario {
  #world: World | null = null;
  #told = 0;
  #mends: (() => void)[] = [];

  get world(): World {
    return present(this.#world, 'its group: begin with the command group');
  }

  /** @returns the lines that the command adds to the transcript */
  run(command: string): string[] {
    const [verb = '', ...words] = command.split(/\s+/);
    const shown = this.#perform(verb, words, command);
    const lines = this.world.transcript.slice(this.#told).map((line) => line.trim());
    this.#told = this.world.transcript.length;
    return [...lines, ...shown];
  }

  #perform(verb: string, words: readonly string[], command: string): readonly string[] {
    const [what = '', which = '', more = ''] = words;
    switch (verb) {
      case 'group':
        this.#begin(words);
        return [];
      case 'run':
        this.#runUntil(this.world.scheduler.nowMs + milliseconds(what));
        return [];
      case 'wait':
        this.#wait(what, which);
        return [];
      case 'ask':
        this.world.operator.ask(this.#wish(what, which));
        return [];
      case 'crash':
        for (const process of this.#processes(what, which)) this.world.scheduler.crash(process);
        return [];
      case 'start':
        for (const process of this.#processes(what, which)) this.world.supervisor.start(process);
        return [];
      case 'pause': {
        const forMs = milliseconds(what === 'leader' ? which : more);
        for (const process of this.#processes(what, which))
          this.world.scheduler.pause(process, forMs);
        return [];
      }
      case 'cut':
        this.#cut(what, which, direction(what === 'leader' ? which : more));
        return [];
      case 'mend':
        for (const mend of this.#mends) mend();
        this.#mends = [];
        this.world.linksChanged();
        return [];
      case 'store':
        this.#store(what, which);
        return [];
      case 'staging':
        this.#spoilStaging(Number(which), more);
        return [];
      case 'show':
        return this.#show();
      default:
        throw new Error(`no such command: ${command}`);
    }
  }

  #begin(words: readonly string[]): void {
    const values = new Map(
      words.map((word): [string, number] => {
        const [name = '', value = ''] = word.split('=');
        return [name, Number(value)];
      }),
    );
    this.#world = new World({
      machines,
      seed: values.get('seed') ?? 1,
      numRanks: values.get('ranks') ?? 3,
      numCoordinators: values.get('coordinators') ?? 2,
      transcript: true,
      supervised: false,
    });
    this.#told = 0;
    this.world.start();
    this.#until('settled', () => unsettled(this.world) === null);
  }

  #runUntil(atMs: number): void {
    while (this.world.scheduler.step(atMs));
  }

  #until(what: string, isSo: () => boolean): void {
    const { scheduler } = this.world;
    const untilMs = scheduler.nowMs + waitMaxMs;
    while (!isSo()) {
      if (!scheduler.step(untilMs))
        throw new Error(`waited in vain: ${what}, ${unsettled(this.world)}`);
    }
  }

  #wait(what: string, which: string): void {
    const { coordinators, engines } = this.world;
    const number = Number(which);
    const conditions: Readonly<Record<string, () => boolean>> = {
      settled: () => unsettled(this.world) === null,
      phase: () =>
        coordinators.some(({ process, state }) => process.alive && phaseOf(state) === which),
      staged: () => engines.some((one) => one.routes && one.swap.vote?.version === number),
      voted: () => engines.every((one) => !one.routes || one.swap.vote?.version === number),
      created: () => this.world.store.read(`map.${which}`, this.world.store.lastSequence) !== null,
      routed: () => engines.some((one) => one.routes && one.swap.mappingVersion === number),
      leader: () => this.world.operator.leader !== null,
      'no-leader': () => this.world.operator.leader === null,
    };
    const isSo = conditions[what];
    if (isSo === undefined) throw new Error(`nothing to wait for: ${what}`);
    this.#until(`${what} ${which}`, isSo);
  }

  #wish(what: string, which: string): Wish {
    const rank = Number(which);
    switch (what) {
      case 'rebalance':
        return { kind: 'rebalance', automatic: false };
      case 'automatic-rebalance':
        return { kind: 'rebalance', automatic: true };
      case 'drain':
      case 'undrain':
      case 'leave':
        return { kind: what, rank };
      case 'rollback':
      case 'pause':
      case 'resume':
      case 'cancel':
        return { kind: what };
      case 'declare-dead':
        return { kind: what, member: this.world.engineAt(rank).member };
      default:
        throw new Error(`nobody asks for ${what}`);
    }
  }

  get #leader(): SimulatedCoordinator {
    const leader = this.world.coordinators.find(({ process, listens }) => process.alive && listens);
    return present(leader, 'its leader');
  }

  #processes(what: string, which: string) {
    const { coordinators, servers, engines, agents, numRanks } = this.world;
    const number = Number(which);
    switch (what) {
      case 'leader':
        return [this.#leader.process];
      case 'coordinator':
        return [present(coordinators[number]).process];
      case 'server':
        return [present(servers[number]).process];
      case 'engine':
        return [present(engines[number]).process];
      case 'agent':
        return [present(agents[number]).process];
      case 'group':
        return engines.slice(0, numRanks).map(({ process }) => process);
      default:
        throw new Error(`no such process: ${what}`);
    }
  }

  #cut(what: string, which: string, way: CutDirection): void {
    const { busLinks, busHosts, fabricLinks, engines } = this.world;
    const stations = engines.map(({ station }) => station);
    if (what === 'engine') {
      const station = Number(which);
      const others = stations.filter((other) => other !== station);
      this.#mends.push(fabricLinks.cut([station], others, way));
    } else {
      const { client } = what === 'leader' ? this.#leader : this.world.agentAt(Number(which));
      const others = busHosts.filter((host) => host !== client.host);
      this.#mends.push(busLinks.cut([client.host], others, way));
    }
    this.world.linksChanged();
  }

  #store(what: string, which: string): void {
    const { cluster, store } = this.world;
    switch (what) {
      case 'loses':
        this.world.log(() => `the store loses ${store.lose(Number(which)).join(' ')}`);
        return;
      case 'stalls':
        cluster.stall(milliseconds(which));
        return;
      case 'answers':
        cluster.weather.silent = which === 'nothing' ? 1 : 0;
        return;
      default:
        throw new Error(`the store never ${what}`);
    }
  }

  #spoilStaging(rank: number, how: string): void {
    const { faults } = this.world.engineAt(rank);
    if (how === 'fails') faults.failNext = true;
    else if (how === 'corrupts') faults.corruptNext = true;
    else if (how === 'stalls') faults.stallNextMs = 60_000;
    else throw new Error(`a staging never ${how}`);
  }

  #show(): string[] {
    const { engines, coordinators } = this.world;
    const leaders = coordinators.map(({ name, process, state }) => {
      const at = process.alive ? (phaseOf(state) ?? 'standby') : 'dead';
      return `${name}: ${at}`;
    });
    const ranks = engines.slice(0, this.world.numRanks).map((engine) => {
      if (!engine.process.alive) return `${engine.name}: dead`;
      if (engine.phase === 'waiting') return `${engine.name}: waits for its peers`;
      const { standing, mappingVersion, retiredUpTo, vote } = engine.swap;
      const open = vote === null ? '' : `, voted for ${vote.version}`;
      return `${engine.name}: ${standing}, version ${mappingVersion}, retired up to ${retiredUpTo}${open}`;
    });
    return [...leaders, ...ranks];
  }
}

function milliseconds(text: string): number {
  const match = /^(\d+)(ms|s)$/.exec(text);
  if (match === null) throw new Error(`${text} is no time: 5s, 200ms`);
  return Number(match[1]) * (match[2] === 's' ? 1_000 : 1);
}

function direction(text: string): CutDirection {
  return text === 'forth' || text === 'back' ? text : 'both';
}

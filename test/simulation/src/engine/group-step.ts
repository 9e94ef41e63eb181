import type { World } from '../world.js';
import type { SimulatedEngine } from './simulated-engine.js';

const stepMs = { least: 20, spread: 180 };
/** Tokens that each engine routes in the steps before and after a switch. */
const burst = 2;

/**
 * The forward step of engines that activate in place, as far as a swap can tell: all that are
 * connected carry the highest version that they may follow, and after the step in which the
 * smallest rises all switch to it at once. Tokens don't outlast their step.
 */
export class GroupStep {
  readonly #world: World;
  #due = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** Somebody may switch: one of the next steps sees to it. */
  soon(): void {
    if (this.#due) return;
    this.#due = true;
    const { scheduler, random } = this.#world;
    scheduler.after(stepMs.least + random.next() * stepMs.spread, () => this.#step());
  }

  get #participants(): SimulatedEngine[] {
    return this.#world.engines.filter((engine) => engine.takesPartInSteps);
  }

  /** Connections are others: a step that finds two versions is done again under the higher one. */
  agree(): void {
    for (const group of this.#connected(this.#participants)) agreeOnHighest(group);
  }

  #step(): void {
    this.#due = false;
    const participants = this.#participants;
    for (const group of this.#connected(participants)) stepTogether(group);
    if (participants.some(({ swap }) => swap.switchingTo !== null)) this.soon();
  }

  /** Who is connected with whom, be it through others: their masks are united. */
  #connected(participants: readonly SimulatedEngine[]): SimulatedEngine[][] {
    const { fabric } = this.#world;
    const left = new Set(participants);
    const groups: SimulatedEngine[][] = [];
    for (const first of participants) {
      if (!left.delete(first)) continue;
      const group = [first];
      for (const engine of group) {
        for (const other of left) {
          if (!fabric.isMutual(engine, other)) continue;
          left.delete(other);
          group.push(other);
        }
      }
      groups.push(group);
    }
    return groups;
  }
}

function agreeOnHighest(group: readonly SimulatedEngine[]): void {
  const versionOf = ({ routes, swap }: SimulatedEngine) => (routes ? swap.mappingVersion : -1);
  const highest = Math.max(...group.map(versionOf));
  const ahead = group.find((engine) => versionOf(engine) === highest);
  for (const engine of group) {
    if (ahead === undefined || !engine.routes || engine.swap.mappingVersion === highest) continue;
    for (const { record } of ahead.swap.outcomes) engine.port.hearFromPeer(ahead, record);
    if (engine.swap.switchingTo === highest) engine.port.switchNow();
  }
}

function stepTogether(group: readonly SimulatedEngine[]): void {
  // Who stands still holds the step up, as in any collective.
  if (group.some(({ process }) => process.paused)) return;
  const followUpTo = Math.min(...group.map(({ readyVersion }) => readyVersion));
  const switching = group.filter(
    ({ swap }) => swap.switchingTo !== null && swap.switchingTo <= followUpTo,
  );
  if (switching.length === 0) return;
  for (const engine of group) engine.traffic.route(burst);
  for (const engine of switching) engine.port.switchNow();
  for (const engine of group) engine.traffic.route(burst);
}

import type { ChaosCase } from './chaos-case.js';
import { environmentOf } from './environment.js';

/** A cluster is replaced after so many cases: what was run is then written down. */
const sessionCasesMax = 12;

/** Splits cases into those that share a cluster, in the order in which they are run on it. */
export function planSessions(cases: readonly ChaosCase[]): ChaosCase[][] {
  const groups = new Map<string, ChaosCase[]>();
  for (const chaosCase of cases) {
    const { activation, phase } = chaosCase;
    const key = [activation, environmentOf(chaosCase), phase === 'discarding'].join();
    groups.set(key, [...(groups.get(key) ?? []), chaosCase]);
  }
  return [...groups.values()].flatMap(splitGroup);
}

/** What is killed for good is missing ever after: the last case of its cluster. */
function splitGroup(group: readonly ChaosCase[]): ChaosCase[][] {
  const last = group.filter(({ fault }) => fault === 'kill-for-good');
  const others = group.filter(({ fault }) => fault !== 'kill-for-good');
  const count = Math.max(last.length, Math.ceil(group.length / sessionCasesMax));
  const sessions = Array.from({ length: count }, (_, index) => last.slice(index, index + 1));
  for (const [index, chaosCase] of others.entries()) {
    const session = sessions[count - 1 - (index % count)];
    session?.splice(
      session.length - (session.at(-1)?.fault === 'kill-for-good' ? 1 : 0),
      0,
      chaosCase,
    );
  }
  return sessions;
}

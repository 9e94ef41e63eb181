import type { Values } from './options.js';

/** What must hold between options. */
export interface Rule {
  readonly names: readonly string[];
  /** Of the first of the names. */
  readonly what: string;
  readonly holds: (values: readonly number[]) => boolean;
}

const rules: readonly Rule[] = [
  {
    names: ['coordinator.renewDeadlineMs', 'coordinator.leaseMs'],
    what: 'must be less than coordinator.leaseMs: a leader stops before another may lead',
    holds: ([renewDeadlineMs = 0, leaseMs = 0]) => renewDeadlineMs < leaseMs,
  },
  {
    names: ['coordinator.renewMs', 'coordinator.retryMs', 'coordinator.renewDeadlineMs'],
    what: 'and coordinator.retryMs together must be at most coordinator.renewDeadlineMs: a renewal may fail once',
    holds: ([renewMs = 0, retryMs = 0, deadlineMs = 0]) => renewMs + retryMs <= deadlineMs,
  },
  {
    names: ['coordinator.passesMin', 'coordinator.windowPasses'],
    what: 'must be at most coordinator.windowPasses: else no plan would ever be made',
    holds: ([passesMin = 0, windowPasses = 0]) => passesMin <= windowPasses,
  },
];

/** Rules that values break; one with a value that is not there is not asked. */
export function brokenRules(values: Values): Rule[] {
  return rules.filter(({ names, holds }) => {
    const numbers = names.map((name) => values.get(name));
    const known = numbers.filter((value): value is number => typeof value === 'number');
    return known.length === numbers.length && !holds(known);
  });
}

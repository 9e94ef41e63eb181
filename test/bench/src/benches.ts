import { runPlacementBench } from './placement-bench.js';

export interface Bench {
  readonly description: string;
  /** @param print writes one paragraph or table of Markdown */
  readonly run: (print: (text: string) => void) => Promise<void>;
}

/** Every benchmark, by the name that `npm run bench -- NAME` knows it by. */
export const benches: ReadonlyMap<string, Bench> = new Map([
  [
    'placement',
    {
      description: 'all policies: balancedness, bound, moves and plan time',
      run: runPlacementBench,
    },
  ],
]);

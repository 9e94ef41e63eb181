import type { RouteSample } from '@isobar/eplb';
import type { Trace } from '@isobar/trace';

/**
 * Tokens of some steps as routes, sequence i coming from rank i mod R; null where the trace knows no
 * tokens of its own.
 */
export function routesOf(
  trace: Trace,
  firstStep: number,
  steps: number,
  numRanks: number,
): RouteSample | null {
  const { numLayers, topK } = trace.header;
  const parts: { readonly tokens: Int16Array; readonly sequences: Int32Array }[] = [];
  for (let step = firstStep; step < firstStep + steps; step += 1) {
    parts.push({ tokens: trace.tokens(step), sequences: trace.sequences(step) });
  }
  const numRoutes = parts.reduce((sum, { sequences }) => sum + sequences.length, 0);
  const experts = new Int16Array(numRoutes * numLayers * topK);
  const sourceRanks = new Int32Array(numRoutes);
  let route = 0;
  for (const { tokens, sequences } of parts) {
    if (sequences.some((sequence) => sequence < 0)) return null;
    experts.set(tokens, route * numLayers * topK);
    sourceRanks.set(
      sequences.map((sequence) => sequence % numRanks),
      route,
    );
    route += sequences.length;
  }
  return { numRoutes, topK, experts, sourceRanks };
}

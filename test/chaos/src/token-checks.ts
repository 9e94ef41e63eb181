import type { Comparison, RankResults } from '@isobar/reference-engine';
import type { ChaosCase } from './chaos-case.js';

/** Whatever became of tokens that must not. @param results of the case's own time */
export function tokenViolations(
  { victim, fault }: ChaosCase,
  comparison: Comparison,
  results: readonly RankResults[],
): string[] {
  const { tokens, tokensLost, tokensLostUnmasked, tokensMisrouted, tokensChanged } = comparison;
  const violations: string[] = [];
  if (tokens === 0) violations.push('no token was served');
  if (tokensMisrouted > 0) violations.push(`${tokensMisrouted} tokens were misrouted`);
  if (tokensChanged > 0) violations.push(`${tokensChanged} tokens were changed`);
  const mayLose =
    (victim === 'engine' || victim === 'machine') &&
    (fault === 'kill' || fault === 'kill-for-good');
  if (tokensLost > 0 && !mayLose) {
    violations.push(`${tokensLost} tokens were lost, and no engine was killed`);
  }
  if (mayLose && tokensLostUnmasked > 0) {
    violations.push(`${tokensLostUnmasked} tokens were lost while no connection was broken`);
  }
  const masked = Math.max(0, ...results.flatMap(({ steps }) => steps.map((s) => s.maskedRanks)));
  if (masked > (mayLose ? 1 : 0)) {
    violations.push(`${masked} ranks could not be reached in a step`);
  }
  return violations;
}

/** Engines that were stopped in the end: each routed by the same version, and as a member. */
export function endViolations(results: readonly RankResults[]): string[] {
  const violations: string[] = [];
  const ended = results.filter(({ end }) => end !== null);
  for (const { rank, end } of ended) {
    if (end?.standing !== 'serving') violations.push(`rank ${rank} ended ${end?.standing}`);
  }
  const versions = new Set(ended.map(({ steps }) => steps.at(-1)?.mappingVersion));
  if (versions.size !== 1) violations.push(`engines ended on versions ${[...versions].join(', ')}`);
  return violations;
}

import { type RankSource, readNumbers, textOfVariable, told } from './rank-source.js';

interface LauncherVariables {
  readonly rank: string;
  readonly numRanks?: string;
  readonly localRank?: string;
  readonly nodeIndex?: string;
}

/** A launcher that tells each of its processes its rank by a variable. */
export function launcherRank(
  name: string,
  of: string,
  variables: LauncherVariables,
  isExplicit = false,
): RankSource {
  const names: string[] = Object.values(variables);
  const read: RankSource['read'] = ({ environment }) => {
    if (textOfVariable(environment, variables.rank) === null) return null;
    const numbers = readNumbers(name, environment, names);
    if (!(numbers instanceof Map)) return numbers;
    const numberOf = (variable = ''): number | null => numbers.get(variable) ?? null;
    const rank = numberOf(variables.rank) ?? 0;
    const numRanks = numberOf(variables.numRanks);
    if (rank >= (numRanks ?? Number.POSITIVE_INFINITY)) {
      const what = `is ${rank}, and ${variables.numRanks} is ${numRanks}`;
      return { source: name, variable: variables.rank, what };
    }
    const localRank = numberOf(variables.localRank);
    const nodeIndex = numberOf(variables.nodeIndex);
    return { source: name, rank, numRanks, localRank, nodeIndex, from: told(numbers) };
  };
  return { name, of, variables: names, isExplicit, read };
}

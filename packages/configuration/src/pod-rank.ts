import { type RankSource, readNumbers, textOfVariable, told } from './rank-source.js';

/** A process's place among those of its pod, or of its machine. */
export const localRankVariable = 'ISOBAR_LOCAL_RANK';

/** Variables that hold the index of a pod. */
export const podIndexVariables = {
  leaderWorkerSet: 'LWS_WORKER_INDEX',
  statefulSet: 'ISOBAR_POD_INDEX',
} as const;

/**
 * An index that counts pods: the rank is index × ranks of a pod + place in the pod.
 * @param size variable of the number of pods, null where there is none
 */
export function podRank(name: string, of: string, index: string, size: string | null): RankSource {
  const variables = [index, ...(size === null ? [] : [size]), localRankVariable];
  const read: RankSource['read'] = ({ environment, ranksPerPod }) => {
    if (textOfVariable(environment, index) === null) return null;
    const numbers = readNumbers(name, environment, variables);
    if (!(numbers instanceof Map)) return numbers;
    const localRank = numbers.get(localRankVariable) ?? (ranksPerPod === 1 ? 0 : null);
    if (localRank === null || localRank >= ranksPerPod) {
      const what = `is ${localRank ?? 'missing'}, and agent.ranksPerPod is ${ranksPerPod}`;
      return { source: name, variable: localRankVariable, what };
    }
    const pod = numbers.get(index) ?? 0;
    const pods = numbers.get(size ?? '') ?? null;
    if (pod >= (pods ?? Number.POSITIVE_INFINITY)) {
      return { source: name, variable: index, what: `is ${pod}, and ${size} is ${pods}` };
    }
    return {
      source: name,
      rank: pod * ranksPerPod + localRank,
      numRanks: pods === null ? null : pods * ranksPerPod,
      localRank,
      // Several pods may share a machine.
      nodeIndex: null,
      from: `${told(numbers)}, agent.ranksPerPod=${ranksPerPod}`,
    };
  };
  return { name, of, variables, isExplicit: false, read };
}

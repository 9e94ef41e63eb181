import { nodeLevelOf, ranksOfDomain } from '@isobar/topology';
import { localRankVariable, podIndexVariables } from './pod-rank.js';
import { type RankSource, readRank, textOfVariable } from './rank-source.js';

/** On a machine of the topology a place among its ranks is enough. */
export const topologyRank: RankSource = {
  name: 'topology',
  of: 'alike services of one machine: the rank that the topology has there. The machine’s name is as for places, below',
  variables: [localRankVariable],
  isExplicit: false,
  read: ({ environment, topology, node }) => {
    const text = textOfVariable(environment, localRankVariable);
    // In a pod it is the place in the pod, and pods move between machines.
    const isPod = Object.values(podIndexVariables).some(
      (variable) => textOfVariable(environment, variable) !== null,
    );
    if (text === null || topology === null || isPod) return null;
    const localRank = readRank(text);
    const ranks = ranksOfDomain(topology, nodeLevelOf(topology), node);
    const rank = localRank === null ? undefined : ranks[localRank];
    if (localRank === null || rank === undefined) {
      const what = `is ${JSON.stringify(text.slice(0, 40))}, and the topology has ${ranks.length} ranks on a node ${node}`;
      return { source: 'topology', variable: localRankVariable, what };
    }
    const { numRanks } = topology;
    const from = `${localRankVariable}=${localRank}, node ${node}`;
    return { source: 'topology', rank, numRanks, localRank, nodeIndex: null, from };
  },
};

import { launcherRank } from './launcher-rank.js';
import { podIndexVariables, podRank } from './pod-rank.js';
import type { RankSource } from './rank-source.js';
import { topologyRank } from './topology-rank.js';

/** What `--rank` is called among the sources, which it goes before. */
export const rankArgument = '--rank';

/** Where a rank may come from, in order of precedence after `--rank`. */
export const rankSources: readonly RankSource[] = [
  launcherRank('ISOBAR_RANK', 'whoever starts the agent', { rank: 'ISOBAR_RANK' }, true),
  launcherRank('torchrun', 'torchrun, and launchers that set the same', {
    rank: 'RANK',
    numRanks: 'WORLD_SIZE',
    localRank: 'LOCAL_RANK',
    nodeIndex: 'GROUP_RANK',
  }),
  launcherRank('slurm', 'Slurm’s `srun` with a task for each rank', {
    rank: 'SLURM_PROCID',
    numRanks: 'SLURM_NTASKS',
    localRank: 'SLURM_LOCALID',
    nodeIndex: 'SLURM_NODEID',
  }),
  launcherRank('openmpi', 'Open MPI’s `mpirun`', {
    rank: 'OMPI_COMM_WORLD_RANK',
    numRanks: 'OMPI_COMM_WORLD_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
  }),
  launcherRank('pmi', 'MPICH, Intel MPI and others that speak PMI', {
    rank: 'PMI_RANK',
    numRanks: 'PMI_SIZE',
    localRank: 'MPI_LOCALRANKID',
  }),
  podRank(
    'leader-worker-set',
    'a LeaderWorkerSet, which sets the first two (0.6 or later): index × `agent.ranksPerPod` + place in the pod',
    podIndexVariables.leaderWorkerSet,
    'LWS_GROUP_SIZE',
  ),
  podRank(
    'pod-index',
    'a StatefulSet: the pod’s label `apps.kubernetes.io/pod-index` by the downward API, counted likewise',
    podIndexVariables.statefulSet,
    null,
  ),
  topologyRank,
];

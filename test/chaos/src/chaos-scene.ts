import type { Cluster } from '@isobar/testing';
import type { Acknowledgements } from './acknowledgements.js';
import type { LeaseName } from './chaos-cluster.js';
import type { ClusterWatch } from './cluster-watch.js';
import type { NodeNetwork } from './node-network.js';
import type { SmallDisks } from './small-disks.js';

/** A running cluster, and all that a case needs to strike and to see. */
export interface ChaosScene {
  readonly cluster: Cluster;
  readonly watch: ClusterWatch;
  readonly acknowledgements: Acknowledgements;
  readonly lease: LeaseName;
  /** Null but in the environment `namespaces`. */
  readonly network: NodeNetwork | null;
  /** Null but in the environment `small-disk`. */
  readonly disks: SmallDisks | null;
}

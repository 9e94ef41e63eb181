import type { ChaosCase } from './chaos-case.js';
import { NodeNetwork } from './node-network.js';
import { withoutRoot } from './run-command.js';
import { SmallDisks } from './small-disks.js';

/** What a cluster needs of the machine; the last two need root on Linux. */
export type EnvironmentName = 'plain' | 'namespaces' | 'small-disk';

export interface Environment {
  readonly network: NodeNetwork | null;
  readonly disks: SmallDisks | null;
}

export function environmentOf({ fault }: ChaosCase): EnvironmentName {
  if (fault === 'partition') return 'namespaces';
  return fault === 'disk-full' ? 'small-disk' : 'plain';
}

/** Why this machine can't give it; null where it can. */
export function environmentMissing(name: EnvironmentName): Promise<string | null> {
  if (name === 'namespaces') return NodeNetwork.missing();
  return Promise.resolve(name === 'small-disk' ? SmallDisks.missing() : null);
}

export async function createEnvironment(name: EnvironmentName): Promise<Environment> {
  return {
    network: name === 'namespaces' ? await NodeNetwork.create() : null,
    disks: name === 'small-disk' ? await SmallDisks.create() : null,
  };
}

export async function removeEnvironment({ network, disks }: Environment): Promise<void> {
  await network?.remove();
  await disks?.remove();
}

/** Removes what runs that were killed have left; where nothing can be made, nothing is left. */
export async function removeLeftovers(): Promise<void> {
  if (withoutRoot('leftovers') !== null) return;
  if ((await NodeNetwork.missing()) === null) await NodeNetwork.removeLeftovers();
  await SmallDisks.removeLeftovers();
}

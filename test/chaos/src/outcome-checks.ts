import type { Bus, Records } from '@isobar/bus';
import { decodeMapRecord, recordsBucket } from '@isobar/protocol';
import { askAny } from './ask-any.js';
import type { ClusterWatch } from './cluster-watch.js';

const deadlineMs = 60_000;

/** Versions with two outcomes: among those told to ranks, and between those and the store's. */
export async function contradictions(watch: ClusterWatch, replicas: number): Promise<string[]> {
  const found: string[] = [];
  for (const [version, told] of watch.outcomes) {
    if (told.size > 1)
      found.push(`S1: version ${version} was told as ${[...told.keys()].join(' and ')}`);
  }
  for (const { value } of await stored(watch, replicas)) {
    const record = decodeMapRecord(value);
    const own = record.outcome === 'void' ? 'void' : record.digest;
    const told = watch.outcomes.get(record.version);
    if (told !== undefined && !told.has(own)) {
      found.push(`S1: version ${record.version} is ${own} in the store, and was told as another`);
    }
  }
  return found;
}

function stored(watch: ClusterWatch, replicas: number): ReturnType<Records['list']> {
  const bucket = recordsBucket(watch.deployment);
  const list = async (bus: Bus) => (await bus.openRecords({ bucket, replicas })).list('map.');
  return askAny(watch, list, deadlineMs);
}

import { parseTopology } from './parse-topology.js';
import { readBoundedText } from './read-bounded-text.js';
import type { Topology } from './topology.js';
import { TopologyError } from './topology-error.js';
import { TOPOLOGY_LIMITS } from './topology-spec.js';

/** @throws TopologyError ISOBAR_TOPOLOGY_UNREADABLE, and as parseTopology does */
export async function readTopology(path: string): Promise<Topology> {
  return parseTopology(await readText(path), path);
}

async function readText(path: string): Promise<string> {
  try {
    return await readBoundedText(path, TOPOLOGY_LIMITS.textLength);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TopologyError(
      'ISOBAR_TOPOLOGY_UNREADABLE',
      `${path}: can't be read: ${why}`,
      { source: path },
      { cause },
    );
  }
}

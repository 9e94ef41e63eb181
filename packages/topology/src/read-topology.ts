import { open } from 'node:fs/promises';
import { parseTopology } from './parse-topology.js';
import type { Topology } from './topology.js';
import { TopologyError } from './topology-error.js';
import { TOPOLOGY_LIMITS } from './topology-spec.js';

/** @throws TopologyError ISOBAR_TOPOLOGY_UNREADABLE, and as parseTopology does */
export async function readTopology(path: string): Promise<Topology> {
  return parseTopology(await readText(path), path);
}

async function readText(path: string): Promise<string> {
  // A character is at most 4 bytes; one byte more shows that there is more.
  const most = TOPOLOGY_LIMITS.textLength * 4 + 1;
  try {
    const handle = await open(path, 'r');
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of handle.createReadStream({ end: most - 1, autoClose: false })) {
        chunks.push(chunk as Buffer);
      }
      return Buffer.concat(chunks).toString('utf8');
    } finally {
      await handle.close();
    }
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

import type { Gpu } from './place.js';
import { TopologyError } from './topology-error.js';

/** Arguments of `nvidia-smi` for what `parseGpus` reads. */
export const gpuQuery = ['--query-gpu=index,uuid,name', '--format=csv,noheader'] as const;
/** Likewise for `parseFabrics`; drivers before 550 know no such fields. */
export const fabricQuery = [
  '--query-gpu=uuid,fabric.state,fabric.status,fabric.clusterUuid,fabric.cliqueId',
  '--format=csv,noheader',
] as const;
/** Likewise for `parseNvlinkGroups`. */
export const linkQuery = ['topo', '-m'] as const;

/** GPUs of one machine that are read. */
const gpusMax = 128;
const uuidPattern = /^(?:GPU|MIG)-[0-9A-Za-z-]{1,64}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the matrix's heading is underlined so.
const styling = /\x1b\[[0-9;]*m/g;

/**
 * GPUs in their order, without what their links tell.
 * @throws TopologyError ISOBAR_TOPOLOGY_NVIDIA_SMI naming the line
 */
export function parseGpus(text: string): Omit<Gpu, 'nvlinkDomain'>[] {
  return rows(text, 3).map(({ cells, line }) => {
    const [index = '', uuid = '', name = ''] = cells;
    if (!/^\d{1,3}$/.test(index)) throw refuse(line, `has no index, but ${quoted(index)}`);
    return { index: Number(index), uuid: uuidOf(uuid, line), name: name.slice(0, 100) };
  });
}

/**
 * By the GPU's UUID the multi-node NVLink domain that it has joined: cluster and clique. A GPU of a
 * machine whose NVLink ends in it has none; some drivers tell an empty cluster of it.
 * @throws TopologyError ISOBAR_TOPOLOGY_NVIDIA_SMI naming the line
 */
export function parseFabrics(text: string): Map<string, string> {
  const fabrics = new Map<string, string>();
  for (const { cells, line } of rows(text, 5)) {
    const [uuid = '', state, status, cluster = '', clique = ''] = cells;
    const hasJoined = state === 'Completed' && status === 'Success';
    const isCluster = /^[0-9a-fA-F-]{36}$/.test(cluster) && !/^[0-]+$/.test(cluster);
    if (!hasJoined || !isCluster || !/^\d{1,10}$/.test(clique)) continue;
    fabrics.set(uuidOf(uuid, line), `${cluster.toLowerCase()}.${clique}`);
  }
  return fabrics;
}

/**
 * For each GPU of the matrix of `topo -m` the lowest index among those that it reaches by NVLink,
 * by way of others too; null where it has no NVLink.
 * @throws TopologyError ISOBAR_TOPOLOGY_NVIDIA_SMI naming the line
 */
export function parseNvlinkGroups(text: string): (number | null)[] {
  const lines = text
    .replaceAll(styling, '')
    .split(/\r?\n/)
    .map((line) => line.trim().split(/\s+/));
  const head = lines.findIndex(([first = '']) => /^GPU\d+$/.test(first));
  if (head < 0) throw refuse(1, 'heads no matrix of GPUs');
  const names = lines[head] ?? [];
  const end = names.findIndex((name) => !/^GPU\d+$/.test(name));
  const gpus = end < 0 ? names : names.slice(0, end);
  if (gpus.length > gpusMax) throw refuse(head + 1, `has more than ${gpusMax} GPUs`);
  const links = gpus.map((gpu, row) => {
    const cells = lines[head + 1 + row] ?? [];
    const isRow = cells[0] === gpu && cells.length > gpus.length && cells[row + 1] === 'X';
    if (!isRow) throw refuse(head + 2 + row, `is not the row of ${gpu}`);
    return cells.slice(1, gpus.length + 1).map((cell) => /^NV\d+$/.test(cell));
  });
  return gpus.map((_, gpu) => (links[gpu]?.includes(true) ? lowestReached(links, gpu) : null));
}

function lowestReached(links: readonly (readonly boolean[])[], from: number): number {
  const reached = new Set([from]);
  for (const gpu of reached) {
    for (const [other, isLinked] of (links[gpu] ?? []).entries()) if (isLinked) reached.add(other);
  }
  return Math.min(...reached);
}

/** What `nvidia-smi` tells of a machine's GPUs, as far as it answered. */
export interface NvidiaSmiAnswers {
  readonly gpus: string;
  readonly fabrics: string | null;
  readonly links: string | null;
}

/**
 * GPUs with their NVLink domains: the one of several machines where they have joined it, else one
 * within the machine. A GPU that lacks the links which others of its machine have is a domain alone.
 * @param node name of the machine
 * @throws TopologyError ISOBAR_TOPOLOGY_NVIDIA_SMI naming the line
 */
export function gpusOf({ gpus, fabrics, links }: NvidiaSmiAnswers, node: string): Gpu[] {
  const all = parseGpus(gpus);
  const joined = fabrics === null ? new Map<string, string>() : parseFabrics(fabrics);
  const groups = links === null ? [] : parseNvlinkGroups(links);
  const hasNvlink = joined.size > 0 || groups.some((group) => group !== null);
  return all.map((gpu, at) => {
    const within = `${node}/${groups[at] ?? gpu.index}`;
    return { ...gpu, nvlinkDomain: joined.get(gpu.uuid) ?? (hasNvlink ? within : null) };
  });
}

interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

function rows(text: string, numCells: number): Row[] {
  const lines = text.split(/\r?\n/).map((content, index) => ({ content, line: index + 1 }));
  const filled = lines.filter(({ content }) => content.trim() !== '');
  if (filled.length > gpusMax) throw refuse(gpusMax + 1, `follows on ${gpusMax} GPUs`);
  return filled.map(({ content, line }) => {
    const cells = content.split(',').map((cell) => cell.trim());
    if (cells.length < numCells) throw refuse(line, `has ${cells.length} fields, not ${numCells}`);
    return { cells, line };
  });
}

function uuidOf(text: string, line: number): string {
  if (uuidPattern.test(text)) return text;
  throw refuse(line, `has no UUID of a GPU, but ${quoted(text)}`);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function refuse(line: number, what: string): TopologyError {
  const text = `nvidia-smi: line ${line} ${what}`;
  return new TopologyError('ISOBAR_TOPOLOGY_NVIDIA_SMI', text, { line });
}

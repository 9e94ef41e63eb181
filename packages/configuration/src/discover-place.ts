import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import {
  fabricQuery,
  type Gpu,
  gpuQuery,
  gpusOf,
  linkQuery,
  type Place,
  TopologyError,
} from '@isobar/topology';
import type { Environment } from './environment-values.js';
import { namedDomains, nodeName } from './named-place.js';
import { localRankVariable } from './pod-rank.js';
import { readRank, textOfVariable } from './rank-source.js';

const run = promisify(execFile);
/** A driver in trouble keeps nvidia-smi waiting. */
const answerDeadlineMs = 10_000;
const answerBytesMax = 262_144;

/** GPUs of this machine, and what of them could not be found out. */
export interface GpuDiscovery {
  readonly gpus: readonly Gpu[];
  readonly notes: readonly string[];
}

/**
 * Asks `nvidia-smi`; none on the PATH is no fault, and no GPU.
 * @param node name of this machine
 */
export async function discoverGpus(
  environment: Environment,
  node: string,
  deadlineMs = answerDeadlineMs,
): Promise<GpuDiscovery> {
  const ask = (args: readonly string[]) => askNvidiaSmi(environment, args, deadlineMs);
  const answers = await Promise.all([gpuQuery, fabricQuery, linkQuery].map(ask));
  const notes = answers.flatMap(({ note }) => note ?? []);
  const [gpus, fabrics, links] = answers.map(({ text }) => text);
  if (gpus == null) return { gpus: [], notes };
  try {
    const read = { gpus, fabrics: fabrics ?? null, links: links ?? null };
    return { gpus: gpusOf(read, node), notes };
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    return { gpus: [], notes: [...notes, error.message] };
  }
}

interface Answer {
  readonly text: string | null;
  readonly note: string | null;
}

async function askNvidiaSmi(
  { PATH = '' }: Environment,
  args: readonly string[],
  deadlineMs: number,
): Promise<Answer> {
  const signal = AbortSignal.timeout(deadlineMs);
  try {
    const { stdout } = await run('nvidia-smi', args, {
      // Of itself the driver's tool needs nothing else.
      env: { PATH, LC_ALL: 'C' },
      maxBuffer: answerBytesMax,
      signal,
      killSignal: 'SIGKILL',
    });
    return { text: stdout, note: null };
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isAbsent) return { text: null, note: null };
    const why = signal.aborted ? `has not answered within ${deadlineMs} ms` : failureOf(error);
    return { text: null, note: `nvidia-smi ${args[0]} ${why}` };
  }
}

function failureOf(error: unknown): string {
  if (!(error instanceof Error)) return `failed: ${String(error)}`;
  if ('code' in error && error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') {
    return `has said more than ${answerBytesMax} bytes`;
  }
  const [line = ''] = ('stdout' in error ? String(error.stdout) : '').trim().split('\n');
  return `failed: ${(line || error.message).slice(0, 200).replaceAll(/[^ -~]/g, '?')}`;
}

/**
 * The rank's GPU: the only one that it may use, or the one of its place among them.
 * @param localRank null where nobody says
 */
export function gpuOf(
  gpus: readonly Gpu[],
  environment: Environment,
  localRank: number | null,
): Gpu | null {
  const listed = textOfVariable(environment, 'CUDA_VISIBLE_DEVICES');
  const visible =
    listed === null
      ? gpus
      : listed.split(',').flatMap((name) => gpus.find((gpu) => isNamed(gpu, name.trim())) ?? []);
  if (visible.length === 1) return visible[0] ?? null;
  return localRank === null ? null : (visible[localRank] ?? null);
}

function isNamed({ index, uuid }: Gpu, name: string): boolean {
  return name === String(index) || (name.startsWith('GPU-') && uuid.startsWith(name));
}

/**
 * Where this process runs, but for its GPU.
 * @param localRank as the source of its rank says
 * @throws IsobarError ISOBAR_CONFIGURATION_PLACE
 */
export function placeWithoutGpu(environment: Environment, localRank: number | null): Place {
  const told = textOfVariable(environment, localRankVariable);
  return {
    node: nodeName(environment),
    localRank: localRank ?? (told === null ? null : readRank(told)),
    domains: namedDomains(environment),
    gpu: null,
  };
}

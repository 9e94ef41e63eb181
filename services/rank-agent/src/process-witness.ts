import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineDescription, WitnessedProcess } from '@isobar/protocol';
import { isCoded } from './state-disk.js';

/** `unknown`: nothing is proven either way. */
export type Sighting = 'running' | 'gone' | 'unknown';

interface ProcessStat {
  readonly processId: number;
  readonly state: string;
  readonly numThreads: number;
  readonly startTicks: string;
}

/**
 * Sees whether an engine's process runs on this machine, and later whether it has ended, which
 * is proof of death. A process is told from another by its id and the tick in which it started,
 * within one boot and one process namespace. Where any of this can't be read, and everywhere
 * without /proc, it proves nothing.
 */
export class ProcessWitness {
  readonly #procDirectory: string;

  constructor(procDirectory = '/proc') {
    this.#procDirectory = procDirectory;
  }

  /** The process that an engine says it is, null where no such one can be seen to run. */
  identify(told: EngineDescription['process']): WitnessedProcess | null {
    const scope = this.#readScope();
    if (told === null || scope === null) return null;
    const process = { ...told, scope };
    return this.lookFor(process) === 'running' ? process : null;
  }

  /** This process, null where others could not tell it from another. */
  identifySelf(): WitnessedProcess | null {
    const scope = this.#readScope();
    const stat = scope === null ? null : this.#readStat('self');
    if (scope === null || stat === null) return null;
    return { processId: stat.processId, startTicks: stat.startTicks, scope };
  }

  lookFor(process: WitnessedProcess): Sighting {
    if (this.#readScope() !== process.scope) return 'unknown';
    const { processId, startTicks } = process;
    try {
      const stat = this.#readStat(String(processId));
      if (stat === null) return 'unknown';
      return stat.startTicks === startTicks && !hasEnded(stat) ? 'running' : 'gone';
    } catch (error) {
      // ESRCH: it ended between the opening and the reading.
      if (!isCoded(error, 'ENOENT') && !isCoded(error, 'ESRCH')) return 'unknown';
      return isAbsent(processId) ? 'gone' : 'unknown';
    }
  }

  /** What a process id and a start tick refer to; null where they can't be relied on. */
  #readScope(): string | null {
    try {
      // Another namespace's /proc would show other processes under the same ids.
      if (this.#readStat('self')?.processId !== process.pid) return null;
      const boot = this.#read('sys/kernel/random/boot_id').trim();
      const namespaces = ['pid', 'time'].map((name) => this.#readNamespace(name));
      return [boot, ...namespaces].join(' ');
    } catch {
      return null;
    }
  }

  /** Kernels before 5.6 have no time namespaces. */
  #readNamespace(name: string): string {
    try {
      return readlinkSync(join(this.#procDirectory, 'self/ns', name));
    } catch (error) {
      if (name === 'time' && isCoded(error, 'ENOENT')) return 'time';
      throw error;
    }
  }

  #read(path: string): string {
    return readFileSync(join(this.#procDirectory, path), 'latin1');
  }

  #readStat(process: string): ProcessStat | null {
    const text = this.#read(join(process, 'stat'));
    // The second field is the command's name in brackets, which may hold blanks and brackets.
    const nameEnd = text.lastIndexOf(')');
    const processId = Number.parseInt(text, 10);
    const fields = text.slice(nameEnd + 2).split(' ');
    const [state] = fields;
    const numThreads = Number(fields[17]);
    const startTicks = fields[19];
    if (nameEnd < 0 || state === undefined || startTicks === undefined) return null;
    return { processId, state, numThreads, startTicks };
  }
}

/** A zombie runs no more, unless only its first thread has ended. */
function hasEnded({ state, numThreads }: ProcessStat): boolean {
  return state === 'X' || (state === 'Z' && numThreads <= 1);
}

/** A process may be hidden in /proc, by `hidepid`; it can't be hidden from signals. */
function isAbsent(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return false;
  } catch (error) {
    return isCoded(error, 'ESRCH');
  }
}

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

export interface MemoryLevel {
  /** Live objects, after a collection. */
  readonly heapBytes: number;
  readonly residentBytes: number;
}

export function memoryLevel(): MemoryLevel {
  collect();
  const { heapUsed: heapBytes, external, rss: residentBytes } = process.memoryUsage();
  return { heapBytes: heapBytes + external, residentBytes };
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

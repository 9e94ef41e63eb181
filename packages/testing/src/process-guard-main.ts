import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { GuardOrder } from './process-guard.js';

const watched = new Set<number>();
const directories = new Set<string>();

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as GuardOrder;
  if ('watch' in order) watched.add(order.watch);
  else if ('unwatch' in order) watched.delete(order.unwatch);
  else directories.add(order.directory);
}

for (const pid of watched) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It has ended in the meantime.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
for (const directory of directories) {
  // A killed process may still be writing while its last pages are let go.
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

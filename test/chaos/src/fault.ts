import type { FaultKind } from './chaos-case.js';
import type { ChaosScene } from './chaos-scene.js';

export interface Fault {
  /** Begins on every process named; the first signal or cut goes out before anything is awaited. */
  readonly begin: (scene: ChaosScene, names: readonly string[]) => Promise<void>;
  /** Ends, and brings back what was lost to it. */
  readonly end: (scene: ChaosScene, names: readonly string[]) => Promise<void>;
  /** It lasts longer than the lease before it ends. */
  readonly lasts: boolean;
}

function onEach(act: (scene: ChaosScene, name: string) => Promise<void> | void): Fault['begin'] {
  return async (scene, names) => {
    await Promise.all(names.map((name) => act(scene, name)));
  };
}

const kill = onEach(({ cluster }, name) => cluster.process(name).kill());

export const faults: Readonly<Record<FaultKind, Fault>> = {
  kill: {
    begin: kill,
    end: onEach(({ cluster }, name) => cluster.restart(name)),
    lasts: false,
  },
  'kill-for-good': { begin: kill, end: async () => undefined, lasts: false },
  pause: {
    begin: onEach(({ cluster }, name) => cluster.process(name).pause()),
    end: onEach(({ cluster }, name) => cluster.process(name).resume()),
    lasts: true,
  },
  partition: {
    begin: onEach(({ network }, name) => needed(network).cut(name)),
    end: onEach(({ network }, name) => needed(network).join(name)),
    lasts: true,
  },
  'disk-full': {
    begin: onEach(({ disks }, name) => needed(disks).fill(name)),
    // A server that met a full disk keeps JetStream off until it is started again.
    end: onEach(async ({ disks, cluster }, name) => {
      await needed(disks).free(name);
      await cluster.process(name).kill();
      await cluster.restart(name);
    }),
    lasts: true,
  },
};

function needed<T>(part: T | null): T {
  if (part === null) throw new Error('the case was run in an environment that lacks what it needs');
  return part;
}

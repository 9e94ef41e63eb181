import type { World } from '../world.js';

/** The store loses so many of its newest writes, acknowledged though they were. @returns their keys */
export function loseWrites(world: World, depth: number): string[] {
  const keys = world.store.lose(depth);
  // Nobody can know the commands in it any more.
  if (keys.includes('control')) world.rules.commands.forget();
  world.log(() => `the store loses its newest writes: ${keys.join(' ')}`);
  return keys;
}

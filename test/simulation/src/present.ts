/** For what the world itself has put there; its absence is a fault of the simulator. */
export function present<T>(value: T | null | undefined, what = 'a part of itself'): T {
  if (value === undefined || value === null) throw new Error(`the world has lost ${what}`);
  return value;
}

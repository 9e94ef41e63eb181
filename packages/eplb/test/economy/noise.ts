/** Seeded draws, uniform in [0, 1). */
export function uniformDraws(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // A linear congruential generator (Numerical Recipes), its high bits.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Seeded draws of a standard normal distribution (Irwin–Hall of 12). */
export function normalDraws(seed: number): () => number {
  const uniform = uniformDraws(seed);
  return () => Array.from({ length: 12 }, uniform).reduce((sum, draw) => sum + draw, -6);
}

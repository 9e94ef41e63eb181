/**
 * Weights of least wᵀQw that are not negative and sum to 1: the least-variance combination of
 * forecasts whose errors have the second moments Q (Bates and Granger, 1969). Each step moves
 * weight from the coordinate of steepest descent to its opposite, exactly as far as pays.
 * @param moments symmetric and positive semidefinite, [count × count]
 */
export function leastVarianceWeights(moments: Float64Array, count: number): Float64Array {
  const at = (row: number, column: number) => moments[row * count + column] ?? 0;
  const weights = new Float64Array(count);
  let start = 0;
  for (let index = 1; index < count; index += 1) {
    if (at(index, index) < at(start, start)) start = index;
  }
  weights[start] = 1;
  const gradient = Float64Array.from({ length: count }, (_, index) => at(index, start));
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const { to, from } = steepest(gradient, weights);
    const slope = (gradient[from] ?? 0) - (gradient[to] ?? 0);
    if (!(slope > TOLERANCE * (gradient[from] ?? 0))) break;
    const curvature = at(to, to) + at(from, from) - 2 * at(to, from);
    const most = weights[from] ?? 0;
    const moved = curvature > 0 ? Math.min(most, slope / curvature) : most;
    weights[from] = most - moved;
    weights[to] = (weights[to] ?? 0) + moved;
    for (let index = 0; index < count; index += 1) {
      gradient[index] = (gradient[index] ?? 0) + moved * (at(index, to) - at(index, from));
    }
  }
  return weights;
}

const STEPS_MAX = 200;
const TOLERANCE = 1e-4;

function steepest(gradient: Float64Array, weights: Float64Array): { to: number; from: number } {
  let to = 0;
  let from = -1;
  for (let index = 0; index < gradient.length; index += 1) {
    const slope = gradient[index] ?? 0;
    if (slope < (gradient[to] ?? 0)) to = index;
    if ((weights[index] ?? 0) > 0 && (from < 0 || slope > (gradient[from] ?? 0))) from = index;
  }
  return { to, from };
}

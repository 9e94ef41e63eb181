import type { LoadShape } from './load-shape.js';

/** Windows of residuals that factors are found in. */
const WINDOWS_MAX = 16;
/** Fewer tell nothing. */
const WINDOWS_MIN = 4;
/** Factors that are looked for. */
const FACTORS_MAX = 2;
/** How far above noise's largest eigenvalue one must be. */
const CLEARANCE = 1.2;
const POWER_STEPS = 20;

/**
 * Loads that miss their forecast together, such as all experts of a domain when it has a larger
 * part in a window than expected: principal components of the newest standardised residuals, layer
 * by layer. A component counts only where it is beyond what independent residuals have by chance
 * (the edge of Marchenko and Pastur, 1967), and by what it is beyond it. Each window's residuals are
 * scaled to the same size, so that one shift of domain makes no factor.
 */
export class ResidualFactors {
  readonly #shape: LoadShape;
  /** Newest overwrites oldest, each [layers × experts]; an idle layer's are 0. */
  readonly #residuals: Float32Array[] = [];
  /** Inner products of windows, [layers × windows × windows]. */
  readonly #products: Float64Array;
  #next = 0;

  constructor(shape: LoadShape) {
    this.#shape = shape;
    this.#products = new Float64Array(shape.numLayers * WINDOWS_MAX * WINDOWS_MAX);
  }

  /** @param residuals standardised, [layers × experts]; 0 in an idle layer */
  add(residuals: Float64Array): void {
    const { numLayers, numLogicalExperts } = this.#shape;
    const newest = new Float32Array(residuals);
    const at = this.#next;
    this.#residuals[at] = newest;
    this.#next = (at + 1) % WINDOWS_MAX;
    for (let layer = 0; layer < numLayers; layer += 1) {
      const start = layer * numLogicalExperts;
      const row = newest.subarray(start, start + numLogicalExperts);
      const size = Math.sqrt(dot(row, row) / numLogicalExperts);
      if (size > 0)
        for (let index = 0; index < row.length; index += 1) row[index] = (row[index] ?? 0) / size;
      this.#residuals.forEach((other, window) => {
        const product = dot(row, other.subarray(start, start + numLogicalExperts));
        const offset = layer * WINDOWS_MAX * WINDOWS_MAX;
        this.#products[offset + at * WINDOWS_MAX + window] = product;
        this.#products[offset + window * WINDOWS_MAX + at] = product;
      });
    }
  }

  /**
   * Tokens by which loads are off together at one standard deviation of a factor, each
   * [layers × experts]; 0 in a layer that has no such factor.
   */
  factors(deviations: Float64Array): Float64Array[] {
    const { numLayers } = this.#shape;
    const factors = Array.from({ length: FACTORS_MAX }, () => new Float64Array(deviations.length));
    if (this.#residuals.length < WINDOWS_MIN) return [];
    for (let layer = 0; layer < numLayers; layer += 1) {
      const length = WINDOWS_MAX * WINDOWS_MAX;
      const products = this.#products.slice(layer * length, (layer + 1) * length);
      for (const factor of factors) {
        if (!this.#takeFactor(layer, products, factor, deviations)) break;
      }
    }
    return factors.filter((factor) => factor.some((tokens) => tokens !== 0));
  }

  /** Writes a layer's largest factor, and takes it out of the products. */
  #takeFactor(
    layer: number,
    products: Float64Array,
    factor: Float64Array,
    deviations: Float64Array,
  ): boolean {
    const { numLogicalExperts } = this.#shape;
    const windows = this.#residuals.length;
    const { eigenvalue, vector } = largestEigenvector(products);
    const edge = numLogicalExperts * (1 + Math.sqrt(windows / numLogicalExperts)) ** 2;
    if (eigenvalue < edge * CLEARANCE) return false;
    const scale = Math.sqrt((eigenvalue - edge) / windows / eigenvalue);
    const start = layer * numLogicalExperts;
    for (let index = start; index < start + numLogicalExperts; index += 1) {
      let sum = 0;
      for (let window = 0; window < windows; window += 1) {
        sum += (vector[window] ?? 0) * (this.#residuals[window]?.[index] ?? 0);
      }
      factor[index] = sum * scale * (deviations[index] ?? 0);
    }
    for (let index = 0; index < products.length; index += 1) {
      const row = vector[Math.floor(index / WINDOWS_MAX)] ?? 0;
      const column = vector[index % WINDOWS_MAX] ?? 0;
      products[index] = (products[index] ?? 0) - eigenvalue * row * column;
    }
    return true;
  }
}

/** Of a positive semidefinite matrix, [windows × windows], by power iteration. */
function largestEigenvector(products: Float64Array) {
  // From the largest column, which is no more orthogonal to the answer than it must be.
  let start = 0;
  for (let index = 1; index < WINDOWS_MAX; index += 1) {
    const diagonal = products[index * (WINDOWS_MAX + 1)] ?? 0;
    if (diagonal > (products[start * (WINDOWS_MAX + 1)] ?? 0)) start = index;
  }
  const vector = new Float64Array(WINDOWS_MAX);
  const image = new Float64Array(WINDOWS_MAX);
  vector[start] = 1;
  let eigenvalue = 0;
  for (let step = 0; step < POWER_STEPS; step += 1) {
    let squares = 0;
    for (let row = 0; row < WINDOWS_MAX; row += 1) {
      let sum = 0;
      for (let column = 0; column < WINDOWS_MAX; column += 1) {
        sum += (products[row * WINDOWS_MAX + column] ?? 0) * (vector[column] ?? 0);
      }
      image[row] = sum;
      squares += sum * sum;
    }
    eigenvalue = Math.sqrt(squares);
    if (eigenvalue === 0) break;
    for (let row = 0; row < WINDOWS_MAX; row += 1) vector[row] = (image[row] ?? 0) / eigenvalue;
  }
  return { eigenvalue, vector };
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index += 1) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
}

/** Sizes of the model that the reference engine serves. */
export interface ModelShape {
  readonly numLayers: number;
  readonly numExperts: number;
  /** Experts that a token is sent to, per layer. */
  readonly topK: number;
}

/** Length of a token's hidden state. */
export const hiddenSize = 32;
/** Units between an expert's two matrices. */
export const intermediateSize = 128;
/** 64-bit numbers of one expert: two matrices of intermediateSize × hiddenSize. */
export const numbersPerExpert = 2 * intermediateSize * hiddenSize;
export const bytesPerExpert = numbersPerExpert * Float64Array.BYTES_PER_ELEMENT;

/** Shape of a window of loads, [layers × experts]. */
export interface LoadShape {
  readonly numLayers: number;
  readonly numLogicalExperts: number;
}

import { describe, expect, it } from 'vitest';
import { LoadCounter } from '../src/load-counter.js';

const shape = { numLayers: 2, slotOffsets: Int32Array.of(0, 2, 4) };

describe('a load counter', () => {
  it('tells tokens and times of layers, cumulative by the version of the step', () => {
    const counter = new LoadCounter(1, '0123456789abcdef', shape);
    counter.served(3, 0, 1, 2, 5);
    counter.layerServed(3, 0, 1, 0.25);
    counter.stepEnded(3, 0, 2);
    const [first] = counter.takeSamples();
    expect(first).toMatchObject({
      destination: Float64Array.of(0, 0, 5, 0),
      layerMillis: Float64Array.of(0, 0.25),
    });
    expect(counter.takeSamples()).toEqual([]);
    counter.layerServed(3, 1, 0, 1);
    counter.layerServed(3, 1, 1, 0.5);
    counter.stepEnded(3, 1, 2);
    counter.layerServed(4, 2, 0, 9);
    counter.stepEnded(4, 2, 2);
    const later = counter.takeSamples();
    expect(later.map(({ layerMillis }) => layerMillis)).toEqual([
      Float64Array.of(1, 0.75),
      Float64Array.of(9, 0),
    ]);
    expect(first?.layerMillis).toEqual(Float64Array.of(0, 0.25));
  });
});

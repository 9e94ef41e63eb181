import { fromSglangExpertLocation, TraceError, toSglangExpertLocation } from '@isobar/trace';
import { describe, expect, it } from 'vitest';

function refused(run: () => unknown): TraceError {
  try {
    run();
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe("SGLang's expert location", () => {
  const location = {
    numLayers: 2,
    numSlots: 3,
    physicalToLogical: Int32Array.of(0, 1, 0, 1, 0, 1),
  };

  it('writes rows by layer, and reads them back', () => {
    const text = toSglangExpertLocation(location);
    expect(JSON.parse(text)).toEqual({
      physical_to_logical_map: [
        [0, 1, 0],
        [1, 0, 1],
      ],
    });
    expect(fromSglangExpertLocation(text)).toEqual(location);
    expect(toSglangExpertLocation({ ...location, physicalToLogical: [0, 1, 0, 1, 0, 1] })).toBe(
      text,
    );
  });

  it.each([
    ['numLayers', { numLayers: 0 }],
    ['numSlots', { numSlots: 1.5 }],
    ['physicalToLogical', { physicalToLogical: Int32Array.of(0, 1) }],
    ['physicalToLogical', { physicalToLogical: Int32Array.of(0, 1, 0, 1, -1, 1) }],
  ])('refuses to write a wrong %s', (field, change) => {
    const error = refused(() => toSglangExpertLocation({ ...location, ...change }));
    expect([error.code, error.fields.field]).toEqual(['ISOBAR_TRACE_INVALID', field]);
  });

  it.each([
    ['', '[]'],
    ['physical_to_logical_map', '{}'],
    ['physical_to_logical_map', '{"physical_to_logical_map": []}'],
    ['physical_to_logical_map.0', '{"physical_to_logical_map": [[]]}'],
    ['physical_to_logical_map.0.1', '{"physical_to_logical_map": [[0, -1]]}'],
    ['physical_to_logical_map.1', '{"physical_to_logical_map": [[0, 1], [0]]}'],
  ])('refuses to read a wrong %s', (field, text) => {
    const error = refused(() => fromSglangExpertLocation(text));
    expect([error.code, error.fields.field]).toEqual(['ISOBAR_TRACE_INVALID', field]);
  });

  it('refuses what is not JSON, and what is too long', () => {
    expect(refused(() => fromSglangExpertLocation('{')).code).toBe('ISOBAR_TRACE_FORMAT');
    const long = ' '.repeat(2 ** 26 + 1);
    expect(refused(() => fromSglangExpertLocation(long)).code).toBe('ISOBAR_TRACE_SIZES');
  });
});

import { ExpertMapping } from '@isobar/eplb';
import {
  decode,
  decodeMapRecord,
  encode,
  encodeMapRecord,
  IsobarError,
  loadSampleSchema,
  type MapRecord,
  rankOfSubject,
  subjectsOf,
  validate,
  voteOfSubject,
  wholeMapping,
} from '@isobar/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const sample = {
  schema: 1,
  rank: 3,
  incarnation: '0123456789abcdef',
  mappingVersion: 7,
  firstStep: 0,
  lastStep: 9,
  destination: Float64Array.of(1, 2, 0.5),
  stepMillis: { count: 10, sum: 12.5, max: 3 },
};

function refusal(act: () => unknown): IsobarError {
  try {
    act();
  } catch (error) {
    if (error instanceof IsobarError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('decode', () => {
  it('gives back what was encoded, numeric arrays by their type', () => {
    expect(decode('sample', encode(sample), loadSampleSchema)).toEqual(sample);
  });

  it('reads a load sample with and without times of layers, which older peers neither send nor read', () => {
    const timed = { ...sample, layerMillis: Float64Array.of(1.5, 0) };
    expect(decode('sample', encode(timed), loadSampleSchema)).toEqual(timed);
    const older = decode('sample', encode({ ...sample, layerMillis: undefined }), loadSampleSchema);
    expect(older).toEqual(sample);
    expect('layerMillis' in older).toBe(false);
    const olderSchema = loadSampleSchema.omit({ layerMillis: true });
    expect(decode('sample', encode(timed), olderSchema)).toEqual(sample);
    for (const layerMillis of [Float64Array.of(-1), Float64Array.of(Number.NaN), [1, 2]]) {
      const bytes = encode({ ...sample, layerMillis });
      expect(refusal(() => decode('sample', bytes, loadSampleSchema)).fields.field).toBe(
        'layerMillis',
      );
    }
  });

  it('names the field that is wrong', () => {
    const wrong = encode({ ...sample, stepMillis: { ...sample.stepMillis, sum: -1 } });
    const error = refusal(() => decode('load sample', wrong, loadSampleSchema));
    expect(error.code).toBe('ISOBAR_PROTOCOL_MALFORMED');
    expect(error.fields).toEqual({ message: 'load sample', field: 'stepMillis.sum' });
  });

  it('refuses counts that are not finite or are negative', () => {
    for (const count of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      const bytes = encode({ ...sample, destination: Float64Array.of(count) });
      expect(refusal(() => decode('sample', bytes, loadSampleSchema)).fields.field).toBe(
        'destination',
      );
    }
  });

  it('tells another schema version from a malformed message', () => {
    const error = refusal(() => validate('sample', { ...sample, schema: 2 }, loadSampleSchema));
    expect(error.code).toBe('ISOBAR_PROTOCOL_SCHEMA_VERSION');
    expect(error.fields).toMatchObject({ received: 2, supported: 1 });
    expect(
      refusal(() => validate('sample', { ...sample, schema: 'x' }, loadSampleSchema)).code,
    ).toBe('ISOBAR_PROTOCOL_MALFORMED');
  });

  it('refuses any bytes, and a message that was cut, with its own error', () => {
    const whole = encode(sample);
    const cut = fc.nat(whole.length - 1).map((length) => whole.subarray(0, length));
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), cut);
    fc.assert(
      fc.property(bytes, (input) => {
        expect(refusal(() => decode('sample', input, loadSampleSchema)).code).toMatch(
          /^ISOBAR_PROTOCOL_/,
        );
      }),
    );
  });

  it('refuses nested heads that promise more items than there are bytes', () => {
    const heads = Array.from({ length: 100 }, () => [0xdd, 0x00, 0x0f, 0xff, 0xff]).flat();
    const error = refusal(() => decode('sample', Uint8Array.from(heads), loadSampleSchema));
    expect(error.code).toBe('ISOBAR_PROTOCOL_MALFORMED');
    expect(error.cause).toBeInstanceOf(RangeError);
  });
});

describe('a map record', () => {
  const mapping = ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 2,
    slotOffsets: Int32Array.of(0, 2, 3),
    physicalToLogical: Int32Array.of(0, 1, 0),
  });
  const record: MapRecord = {
    schema: 1,
    outcome: 'committed',
    change: 'rebalance',
    version: 4,
    fence: { term: 2, nonce: '0123456789abcdef' },
    reason: 'test',
    base: { version: 3, digest: '0'.repeat(64) },
    digest: mapping.digest(),
    mapping: wholeMapping(mapping),
    members: [{ rank: 0, incarnation: '0123456789abcdef' }],
    voided: [],
  };

  it('comes back as it was', () => {
    expect(decodeMapRecord(encodeMapRecord(record))).toEqual(record);
  });

  it('is refused where its mapping has another digest, or is none', () => {
    const other = encodeMapRecord({ ...record, digest: 'f'.repeat(64) });
    expect(refusal(() => decodeMapRecord(other)).fields.field).toBe('digest');
    const invalid = { ...record.mapping, physicalToLogical: Int32Array.of(0, 9, 0) };
    const bytes = encodeMapRecord({ ...record, mapping: invalid });
    expect(refusal(() => decodeMapRecord(bytes)).fields.field).toBe('mapping');
  });
});

describe('subjects', () => {
  it('name ranks and versions, and nothing else is read as one', () => {
    const subjects = subjectsOf('east-1');
    expect(rankOfSubject(subjects.load(12))).toBe(12);
    expect(rankOfSubject(subjects.report(3))).toBe(3);
    expect(voteOfSubject(subjects.vote(5, 6))).toEqual({ version: 5, rank: 6 });
    for (const rank of ['x', '-1', '1e3', '99999999', '']) {
      expect(rankOfSubject(`isobar.v1.east-1.load.${rank}`)).toBeNull();
    }
    expect(voteOfSubject(subjects.load(1))).toBeNull();
  });

  it('are refused for a deployment that could not stand in one', () => {
    for (const name of ['', 'a.b', 'a b', '*', '>', 'x'.repeat(65)]) {
      expect(refusal(() => subjectsOf(name)).code).toBe('ISOBAR_PROTOCOL_DEPLOYMENT_NAME');
    }
  });
});

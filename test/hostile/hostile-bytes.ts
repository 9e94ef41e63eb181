import fc from 'fast-check';
import { nearValid } from './hostile-values.js';

/** Heads of MessagePack that promise more than there is. */
const promises = [
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0xff, 0xff, 0xff, 0xff],
  [0xc6, 0xff, 0xff, 0xff, 0xff],
  [0xdb, 0x7f, 0xff, 0xff, 0xff],
  [0xc9, 0xff, 0xff, 0xff, 0xff, 0x14],
  [0xdc, 0xff, 0xff],
  [0xde, 0xff, 0xff],
  [0xd8, 0x14],
  [0xc1],
];

interface Change {
  readonly how: 'flip' | 'cut' | 'extend' | 'insert' | 'overwrite' | 'duplicate-key' | 'drop';
  /** Where, as a share of the length. */
  readonly at: number;
  readonly byte: number;
  readonly bytes: Uint8Array;
}

const change: fc.Arbitrary<Change> = fc.record({
  how: fc.constantFrom(
    'flip',
    'flip',
    'cut',
    'extend',
    'insert',
    'overwrite',
    'duplicate-key',
    'drop',
  ),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  byte: fc.nat({ max: 255 }),
  bytes: fc.oneof(
    fc.constantFrom(...promises).map((of) => Uint8Array.from(of)),
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
  ),
});

function changed(message: Uint8Array, { how, at, byte, bytes }: Change): Uint8Array {
  const where = Math.floor(at * message.length);
  const copy = new Uint8Array(message);
  switch (how) {
    case 'flip':
      if (where < copy.length) copy[where] = (copy[where] ?? 0) ^ (1 << (byte % 8));
      return copy;
    case 'cut':
      return copy.subarray(0, where);
    case 'extend':
      return Buffer.concat([copy, bytes]);
    case 'insert':
      return Buffer.concat([copy.subarray(0, where), bytes, copy.subarray(where)]);
    case 'overwrite':
      copy.set(bytes.subarray(0, copy.length - where), where);
      return copy;
    case 'drop':
      return Buffer.concat([copy.subarray(0, where), copy.subarray(where + 1 + (byte % 16))]);
    case 'duplicate-key': {
      const head = copy[0] ?? 0;
      if (head < 0x81 || head >= 0x8f) return copy;
      copy[0] = head + 1;
      // The schema's version once more, as another.
      return Buffer.concat([copy, Uint8Array.of(0xa6), Buffer.from('schema'), Uint8Array.of(byte)]);
    }
  }
}

function deepNesting(levels: number): Uint8Array {
  return new Uint8Array(levels).fill(levels % 2 === 0 ? 0x91 : 0x81);
}

/** Messages made of valid ones, by changes of fields and of bytes, and some that are nothing at all. */
export function hostileMessage(valid: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const whole = fc.constantFrom(...valid);
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  return fc.oneof(
    { weight: 10, arbitrary: nearValid(valid) },
    { weight: 8, arbitrary: fc.tuple(whole, changes).map(([of, all]) => all.reduce(changed, of)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
    { weight: 1, arbitrary: fc.nat({ max: 20_000 }).map(deepNesting) },
  );
}

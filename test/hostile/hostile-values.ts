import { decodeValue, encode } from '@isobar/protocol';
import fc from 'fast-check';

/** MessagePack within a binary field, taken apart so that what is in it is changed too. */
class Embedded {
  constructor(readonly value: unknown) {}
}

const numbers = [
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0.5, 1e308, 5e-324],
  ...[-1, 0, 1, 2, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1],
  ...[2 ** 24, 2 ** 32, 2 ** 40, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 63, -(2 ** 31), -(2 ** 53)],
];
const names = ['__proto__', 'constructor', 'prototype', 'toString', 'schema', 'rank', 'fence'];
const strings = ['', '\0', '…', '\ud800', 'a'.repeat(65_537), '../..', '0'.repeat(16), ...names];

const hostileTypedArray = fc.oneof(
  fc.array(fc.constantFrom(...numbers), { maxLength: 5 }).map((of) => Float64Array.from(of)),
  fc.constantFrom(...numbers).map((of) => new Float64Array(64).fill(of)),
  fc.constantFrom(...numbers).map((of) => new Int32Array(24).fill(of)),
  fc.array(fc.integer(), { maxLength: 9 }).map((of) => Int32Array.from(of)),
  fc.array(fc.integer(), { maxLength: 9 }).map((of) => Int16Array.from(of)),
  fc.nat({ max: 4_096 }).map((length) => new Int32Array(length)),
);

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(...numbers),
  fc.constantFrom(...strings),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom<unknown>(null, true, false, [], {}),
  fc.uint8Array({ maxLength: 40 }),
  hostileTypedArray,
  fc.integer(),
  fc.double(),
);

function objectOf(entries: readonly (readonly [string, unknown])[]): unknown {
  const made = {};
  for (const [key, value] of entries) {
    Object.defineProperty(made, key, { value, enumerable: true, configurable: true });
  }
  return made;
}

/** Of any type, mostly at the edge of one. */
export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 8, arbitrary: leaf },
  { weight: 1, arbitrary: fc.array(leaf, { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.tuple(leaf, fc.nat({ max: 12 })).map(repeated) },
  {
    weight: 1,
    arbitrary: fc.array(fc.tuple(fc.constantFrom(...names), leaf), { maxLength: 4 }).map(objectOf),
  },
  { weight: 1, arbitrary: fc.nat({ max: 60 }).map(nested) },
);

function repeated([value, times]: readonly [unknown, number]): unknown {
  return Array(times).fill(value);
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

type Path = readonly (string | number)[];

interface Edit {
  /** Which field, modulo how many there are. */
  readonly at: number;
  readonly how: 'replace' | 'remove' | 'repeat' | 'add';
  readonly value: unknown;
  readonly name: string;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('replace', 'replace', 'replace', 'remove', 'repeat', 'add'),
  value: hostileValue,
  name: fc.constantFrom(...names),
});

/** A message that was valid, taken apart. */
interface Original {
  readonly value: unknown;
  readonly paths: readonly Path[];
}

/** Elements of an array that are changed: what holds of these holds of the others. */
const elementsChanged = 3;

/** Valid messages with some fields changed: most pass the first checks, and few all. */
export function nearValid(messages: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const originals = messages.map((bytes): Original => {
    const value = takenApart(decodeValue('original', bytes));
    return { value, paths: pathsOf(value) };
  });
  return fc
    .tuple(fc.constantFrom(...originals), fc.array(edit, { minLength: 1, maxLength: 3 }))
    .map(([{ value, paths }, edits]) =>
      encode(
        putTogether(
          edits.reduce((of, next) => edited(of, paths[next.at % paths.length] ?? [], next), value),
        ),
      ),
    );
}

function takenApart(value: unknown): unknown {
  if (value instanceof Uint8Array) return embeddedIn(value);
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(takenApart);
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, takenApart(of)]));
}

function embeddedIn(bytes: Uint8Array): unknown {
  // Records and proposals are maps; all else stays what it is.
  if ((bytes[0] ?? 0) < 0x80 || (bytes[0] ?? 0) > 0x8f) return bytes;
  return new Embedded(takenApart(decodeValue('embedded', bytes)));
}

function putTogether(value: unknown): unknown {
  if (value instanceof Embedded) return encode(putTogether(value.value));
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(putTogether);
  return objectOf(Object.entries(value).map(([key, of]) => [key, putTogether(of)]));
}

function childrenOf(value: unknown): [string | number, unknown][] {
  if (value instanceof Embedded) return [['value', value.value]];
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return [...value.slice(0, elementsChanged).entries()];
  return Object.entries(value);
}

function pathsOf(value: unknown, to: Path = []): Path[] {
  return [to, ...childrenOf(value).flatMap(([key, of]) => pathsOf(of, [...to, key]))];
}

/** A copy with one field changed; the same where an earlier change has taken the field away. */
function edited(value: unknown, path: Path, change: Edit): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return change.how === 'replace' ? change.value : value;
  if (value instanceof Embedded) return new Embedded(edited(value.value, rest, change));
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return value;
  const entries: [string, unknown][] = Object.entries(value).flatMap(([name, of]) => {
    if (name !== String(key)) return [[name, of]];
    if (rest.length > 0) return [[name, edited(of, rest, change)]];
    return changedEntry(name, of, change);
  });
  if (!Array.isArray(value)) return objectOf(entries);
  return entries.map(([, of]) => of);
}

function changedEntry(name: string, of: unknown, change: Edit): [string, unknown][] {
  switch (change.how) {
    case 'replace':
      return [[name, change.value]];
    case 'remove':
      return [];
    case 'repeat':
      return [[name, Array(1 + (change.at % 70)).fill(of)]];
    case 'add':
      return [
        [name, of],
        [change.name, change.value],
      ];
  }
}

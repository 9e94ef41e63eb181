import { Decoder, Encoder, ExtensionCodec } from '@msgpack/msgpack';
import type { z } from 'zod';
import { IsobarError } from './isobar-error.js';
import { assertItemsFit } from './message-pack-bounds.js';

type NumericArray = Int16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

interface NumericArrayType {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): NumericArray;
}

/** MessagePack extension type of each numeric array; bodies are the elements, little-endian. */
const numericArrayTypes: ReadonlyArray<readonly [number, NumericArrayType]> = [
  [0x10, Int16Array],
  [0x11, Int32Array],
  [0x12, Uint32Array],
  [0x13, Float32Array],
  [0x14, Float64Array],
];

const littleEndianHost = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function swapBytes(bytes: Uint8Array, width: number): Uint8Array {
  for (let start = 0; start < bytes.length; start += width) {
    bytes.subarray(start, start + width).reverse();
  }
  return bytes;
}

function createExtensionCodec(): ExtensionCodec {
  const codec = new ExtensionCodec();
  for (const [type, ArrayType] of numericArrayTypes) {
    codec.register({
      type,
      encode: (value: unknown) => {
        if (!(value instanceof ArrayType)) return null;
        const view = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
        return littleEndianHost ? view : swapBytes(view.slice(), ArrayType.BYTES_PER_ELEMENT);
      },
      decode: (data: Uint8Array) => {
        if (data.byteLength % ArrayType.BYTES_PER_ELEMENT !== 0) {
          throw new IsobarError(
            'ISOBAR_PROTOCOL_MALFORMED',
            `numeric array of extension type ${type} has ${data.byteLength} bytes, not a multiple of ${ArrayType.BYTES_PER_ELEMENT}`,
            { extensionType: type, bytes: data.byteLength },
          );
        }
        // Copied: the body may lie unaligned in the message, whose buffer is reused. Not by
        // slice, which in a Buffer copies nothing.
        const copy = new Uint8Array(data);
        if (!littleEndianHost) swapBytes(copy, ArrayType.BYTES_PER_ELEMENT);
        return new ArrayType(copy.buffer);
      },
    });
  }
  return codec;
}

const extensionCodec = createExtensionCodec();

// One of each for all messages: a new encoder allocates a buffer, however short its message.
let encoder = createEncoder();
const decoder = new Decoder({
  extensionCodec,
  maxStrLength: 65_536,
  maxArrayLength: 1_048_576,
  maxMapLength: 4_096,
});

/** Encodes a plain value as MessagePack; numeric typed arrays become little-endian extensions. */
export function encode(value: unknown): Uint8Array {
  let isKept = false;
  try {
    const bytes = encoder.encode(value);
    isKept = bytes.byteLength <= encoderBytesMax;
    return bytes;
  } finally {
    // It would keep its buffer, larger than what it held, for as long as the process lives.
    if (!isKept) encoder = createEncoder();
  }
}

/** The largest message of a server with default settings. */
const encoderBytesMax = 1_048_576;

function createEncoder(): Encoder {
  return new Encoder({ extensionCodec, ignoreUndefined: true });
}

/**
 * Decodes MessagePack and checks it against a schema.
 * @param what names the message in the error
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED with `field`; ISOBAR_PROTOCOL_SCHEMA_VERSION
 *   when the message says a schema version that this process does not speak
 */
export function decode<T>(what: string, bytes: Uint8Array, schema: z.ZodType<T>): T {
  return validate(what, decodeValue(what, bytes), schema);
}

/**
 * Decodes MessagePack within limits; what it holds is for the caller to check.
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED
 */
export function decodeValue(what: string, bytes: Uint8Array): unknown {
  try {
    assertItemsFit(bytes);
    return decoder.decode(bytes);
  } catch (cause) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_MALFORMED',
      `${what} is not a well-formed MessagePack message`,
      { message: what, field: '', bytes: bytes.byteLength },
      { cause },
    );
  }
}

/** Schema version that every message carries in its field `schema`. */
export const schemaVersion = 1;

/**
 * Checks a decoded value against a schema.
 * @throws IsobarError as `decode` does
 */
export function validate<T>(what: string, value: unknown, schema: z.ZodType<T>): T {
  const spoken = readSchemaVersion(value);
  if (spoken !== undefined && spoken !== schemaVersion) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_SCHEMA_VERSION',
      `${what} has schema version ${spoken}; this process speaks ${schemaVersion}`,
      { message: what, field: 'schema', received: spoken, supported: schemaVersion },
    );
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  throw new IsobarError(
    'ISOBAR_PROTOCOL_MALFORMED',
    `${what} is malformed at ${field === '' ? 'its root' : `field ${field}`}: ${issue?.message ?? 'unknown'}`,
    { message: what, field },
  );
}

/** The version that a message says it has; whatever is no version is left to the schema. */
function readSchemaVersion(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null || !('schema' in value)) return undefined;
  return Number.isInteger(value.schema) ? Number(value.schema) : undefined;
}

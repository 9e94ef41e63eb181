const fixedBodyBytes: ReadonlyMap<number, number> = new Map([
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd4, 2],
  [0xd5, 3],
  [0xd6, 5],
  [0xd7, 9],
  [0xd8, 17],
]);

interface CountedType {
  /** Bytes of the count that follows the head. */
  readonly countBytes: 1 | 2 | 4;
  readonly unit: 'byte' | 'item' | 'pair';
  /** Bytes beside those counted: an extension's type. */
  readonly besides: number;
}

const countedTypes: ReadonlyMap<number, CountedType> = new Map([
  [0xc4, { countBytes: 1, unit: 'byte', besides: 0 }],
  [0xc5, { countBytes: 2, unit: 'byte', besides: 0 }],
  [0xc6, { countBytes: 4, unit: 'byte', besides: 0 }],
  [0xc7, { countBytes: 1, unit: 'byte', besides: 1 }],
  [0xc8, { countBytes: 2, unit: 'byte', besides: 1 }],
  [0xc9, { countBytes: 4, unit: 'byte', besides: 1 }],
  [0xd9, { countBytes: 1, unit: 'byte', besides: 0 }],
  [0xda, { countBytes: 2, unit: 'byte', besides: 0 }],
  [0xdb, { countBytes: 4, unit: 'byte', besides: 0 }],
  [0xdc, { countBytes: 2, unit: 'item', besides: 0 }],
  [0xdd, { countBytes: 4, unit: 'item', besides: 0 }],
  [0xde, { countBytes: 2, unit: 'pair', besides: 0 }],
  [0xdf, { countBytes: 4, unit: 'pair', besides: 0 }],
]);

/**
 * Refuses a message whose containers promise more items than it has bytes left. The decoder
 * allocates an array as soon as it reads its length: a hundred nested heads, 500 bytes in all,
 * would cost gigabytes.
 * @throws RangeError
 */
export function assertItemsFit(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let position = 0;
  let pending = 1;
  while (pending > 0) {
    const { headBytes, bodyBytes, items } = readHead(view, position);
    position += headBytes + bodyBytes;
    pending += items - 1;
    if (pending > bytes.byteLength - position) {
      throw new RangeError(`${pending} items are due in ${bytes.byteLength - position} bytes`);
    }
  }
}

interface Head {
  readonly headBytes: number;
  readonly bodyBytes: number;
  /** Items that follow, a map's keys and values counted singly. */
  readonly items: number;
}

function readHead(view: DataView, position: number): Head {
  const type = view.getUint8(position);
  if (type >= 0x80 && type <= 0x8f) return { headBytes: 1, bodyBytes: 0, items: 2 * (type & 0x0f) };
  if (type >= 0x90 && type <= 0x9f) return { headBytes: 1, bodyBytes: 0, items: type & 0x0f };
  if (type >= 0xa0 && type <= 0xbf) return { headBytes: 1, bodyBytes: type & 0x1f, items: 0 };
  const counted = countedTypes.get(type);
  if (counted === undefined) {
    return { headBytes: 1, bodyBytes: fixedBodyBytes.get(type) ?? 0, items: 0 };
  }
  const { countBytes, unit, besides } = counted;
  const count = readCount(view, position + 1, countBytes);
  const headBytes = 1 + countBytes + besides;
  if (unit === 'byte') return { headBytes, bodyBytes: count, items: 0 };
  return { headBytes, bodyBytes: 0, items: unit === 'pair' ? 2 * count : count };
}

function readCount(view: DataView, position: number, bytes: 1 | 2 | 4): number {
  if (bytes === 1) return view.getUint8(position);
  return bytes === 2 ? view.getUint16(position) : view.getUint32(position);
}

/** Bytes of each unit of a rate; a capital B is bytes, a small b is bits. */
const BYTES_PER_UNIT: ReadonlyMap<string, number> = new Map(
  Object.entries({
    'B/s': 1,
    'KB/s': 1e3,
    'MB/s': 1e6,
    'GB/s': 1e9,
    'TB/s': 1e12,
    'KiB/s': 2 ** 10,
    'MiB/s': 2 ** 20,
    'GiB/s': 2 ** 30,
    'TiB/s': 2 ** 40,
    'b/s': 1 / 8,
    'Kb/s': 1e3 / 8,
    'Mb/s': 1e6 / 8,
    'Gb/s': 1e9 / 8,
    'Tb/s': 1e12 / 8,
  }),
);

/** Units of time in one second, so that a whole number of them gives the nearest double. */
const UNITS_PER_SECOND: ReadonlyMap<string, number> = new Map(
  Object.entries({
    s: 1,
    ms: 1e3,
    us: 1e6,
    µs: 1e6,
    ns: 1e9,
  }),
);

interface Quantity {
  readonly amount: number;
  readonly unit: string;
}

function parseQuantity(text: string): Quantity | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?) *([A-Za-zµ]+(?:\/s)?)$/.exec(text);
  const [, amount, unit] = match ?? [];
  return amount === undefined || unit === undefined ? undefined : { amount: Number(amount), unit };
}

/** Bytes per second of such as `450 GB/s` or `400 Gb/s`; undefined where it is no rate. */
export function parseBandwidth(text: string): number | undefined {
  const quantity = parseQuantity(text);
  const bytes = BYTES_PER_UNIT.get(quantity?.unit ?? '');
  return quantity && bytes && quantity.amount * bytes;
}

/** Seconds of such as `2 us`; undefined where it is no time. */
export function parseLatency(text: string): number | undefined {
  const quantity = parseQuantity(text);
  const perSecond = UNITS_PER_SECOND.get(quantity?.unit ?? '');
  return quantity && perSecond && quantity.amount / perSecond;
}

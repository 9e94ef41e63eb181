const millisOf: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
]);
const secondsOf: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-9],
  ['us', 1e-6],
  ['µs', 1e-6],
  ['ms', 1e-3],
  ['s', 1],
]);
const bytesOf: ReadonlyMap<string, number> = new Map(
  ['', 'K', 'M', 'G', 'T'].flatMap((prefix, power) => [
    [`${prefix}B/s`, 1_000 ** power],
    [`${prefix}iB/s`, 1_024 ** power],
    [`${prefix}b/s`, 1_000 ** power / 8],
  ]),
);

/** What a text with a unit of its own is in the unit of the option's name; undefined where it is none. */
export type ReadQuantity = (text: string) => number | undefined;

/** Milliseconds of such as `250ms`, `10s`, `2m` or `1h`. */
export const readMillis: ReadQuantity = (text) => quantity(text, millisOf);

/** Seconds of such as `12us`. */
export const readSeconds: ReadQuantity = (text) => quantity(text, secondsOf);

/** Bytes a second of such as `10 GB/s` or `400 Gb/s`. */
export const readBytesPerSecond: ReadQuantity = (text) => quantity(text, bytesOf);

function quantity(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,15})?) ?([A-Za-zµ]{1,3}(?:\/s)?)$/.exec(text);
  const unit = units.get(match?.[2] ?? '');
  if (unit === undefined) return undefined;
  // 0.3 s are 300 ms, and not the double beside it.
  return Number((Number(match?.[1]) * unit).toPrecision(15));
}

/** Milliseconds as one writes them: `15s`, `250ms`, `24h`. */
export function writeMillis(millis: number): string {
  for (const [unit, factor] of [...millisOf].reverse()) {
    if (millis >= factor && millis % factor === 0) return `${millis / factor}${unit}`;
  }
  return `${millis}ms`;
}

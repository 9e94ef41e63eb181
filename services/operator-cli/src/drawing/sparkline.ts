const levels = '▁▂▃▄▅▆▇█';
/** Smaller differences are not blown up to the whole height. */
const spanMin = 0.05;

/** The newest values as a row of blocks, the lowest of them the lowest block. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const low = Math.min(...shown);
  const span = Math.max(spanMin, Math.max(...shown) - low);
  return shown
    .map((value) => levels[Math.round(((value - low) / span) * (levels.length - 1))] ?? '')
    .join('');
}

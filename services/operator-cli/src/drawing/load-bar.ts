import { bar } from '../table.js';
import type { Paint } from '../terminal/paint.js';

/** Load share at which a bar is full: twice the mean. */
const shareMax = 2;

/** A rank's load ÷ the mean of all, as a bar that is half full at the mean. */
export function loadBar(share: number, width: number, paint: Paint): string {
  const colour = share > 1.25 ? 'red' : share > 1.1 ? 'yellow' : 'green';
  return paint(colour, bar(share / shareMax, width));
}

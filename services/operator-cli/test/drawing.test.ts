import { describe, expect, it } from 'vitest';
import { fit, oneLine } from '../src/drawing/fit.js';
import { sparkline } from '../src/drawing/sparkline.js';
import { ranges } from '../src/table.js';
import { coloured, hasColours } from '../src/terminal/paint.js';

describe('colours', () => {
  const terminal = { isTTY: true };

  it.each([
    ['on a terminal', terminal, true, { TERM: 'xterm' }, true],
    ['not in a pipe', {}, true, { TERM: 'xterm' }, false],
    ['not with --no-color', terminal, false, { TERM: 'xterm' }, false],
    ['not with NO_COLOR', terminal, true, { NO_COLOR: '1' }, false],
    ['with an empty NO_COLOR', terminal, true, { NO_COLOR: '' }, true],
    ['not where the terminal has none', terminal, true, { TERM: 'dumb' }, false],
  ])('are there %s', (_, stream, isAsked, environment, expected) => {
    expect(hasColours(stream, isAsked, environment)).toBe(expected);
  });
});

describe('a line', () => {
  it('is cut where the screen ends, and its colours end with it', () => {
    expect(fit(`ab${coloured('red', 'cdef')}gh`, 4)).toBe('ab\u001b[31mcd\u001b[39m');
    expect(fit('█████', 3)).toBe('███');
  });

  it('takes nothing from outside that moves the cursor', () => {
    expect(oneLine('a\u001b[2Jb\r\nc\u009bd')).toBe('a [2Jb  c d');
  });
});

describe('a sparkline', () => {
  it('shows the newest values, from their lowest to their highest', () => {
    expect(sparkline([0, 0.5, 0.75, 1], 3)).toBe('▁▅█');
  });

  it('does not blow up differences that are none', () => {
    expect(sparkline([0.9, 0.901], 8)).toBe('▁▁');
  });
});

describe('ranks', () => {
  it.each([
    [[], ''],
    [[3], '3'],
    [[3, 4], '3, 4'],
    [[0, 1, 2, 3, 7, 9, 10, 11], '0-3, 7, 9-11'],
  ])('%j are told as %s', (numbers, text) => {
    expect(ranges(numbers)).toBe(text);
  });
});

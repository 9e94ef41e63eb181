import { describe, expect, it } from 'vitest';
import { assertPrivate } from '../src/secret-file.js';

describe('the file of a secret', () => {
  const own = 1_000;
  it.each([
    ['its owner’s alone', 0o600, own, own],
    ['its owner’s to read', 0o400, own, own],
    ['root’s, for a group of ours', 0o440, 0, own],
    ['root’s to write, for a group of ours', 0o640, 0, own],
    ['root’s alone', 0o600, 0, 0],
  ])('is taken where it is %s', (_, mode, ownerId, userId) => {
    expect(() => assertPrivate('/secret', { mode, ownerId }, userId)).not.toThrow();
  });

  it.each([
    ['a group’s of which we are the owner', 0o440, own, own],
    ['a group’s while we are root', 0o440, 0, 0],
    ['root’s and a group’s to write', 0o660, 0, own],
    ['root’s and everybody’s', 0o444, 0, own],
    ['another’s, for a group', 0o440, 1_001, own],
  ])('is refused where it is %s', (_, mode, ownerId, userId) => {
    expect(() => assertPrivate('/secret', { mode, ownerId }, userId)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_BUS_SECRET_EXPOSED' }),
    );
  });
});

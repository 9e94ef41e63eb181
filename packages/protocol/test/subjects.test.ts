import { assertRankOfSubject, subjectsOf } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const subjects = subjectsOf('demo');

describe('a message of a rank', () => {
  it.each([subjects.load(3), subjects.report(3), subjects.vote(7, 3)])(
    'may come on %s',
    (subject) => {
      expect(() => assertRankOfSubject(subject, 3)).not.toThrow();
    },
  );

  it.each([
    subjects.load(4),
    subjects.report(4),
    subjects.vote(3, 4),
    subjects.vote('*', 4),
    subjects.load('*'),
    subjects.swap('state'),
    `${subjects.load(4)}.3`,
    'isobar.v1.demo.vote.7',
    'isobar',
  ])('is refused on %s', (subject) => {
    expect(() => assertRankOfSubject(subject, 3)).toThrow(
      expect.objectContaining({
        code: 'ISOBAR_PROTOCOL_WRONG_RANK',
        fields: { field: 'rank', subject },
      }),
    );
  });
});

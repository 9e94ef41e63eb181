import type { ChangeAnswer } from '@isobar/protocol';
import { expect, it } from 'vitest';
import { renderChange } from '../src/commands/render-change.js';

const control = {
  mode: 'automatic' as const,
  paused: false,
  held: null,
  drained: [2],
  slotLimits: [],
  dead: [],
  parameters: {},
};
const preview: ChangeAnswer = {
  requestId: null,
  command: 'drain',
  dryRun: true,
  state: 'done',
  outcome: 'would-be-done',
  reason: 'rank 2 would hold no expert, and go on serving',
  code: null,
  baseVersion: 3,
  version: null,
  effect: { waves: 1, moves: 4, bytes: 4_096, ranks: [0, 2] },
  plan: null,
  control,
};

it('a preview says what would be done, and what would hold then', () => {
  expect(renderChange(preview).split('\n')).toEqual([
    'drain (dry run): would be done: rank 2 would hold no expert, and go on serving',
    '4 moves (4.0 KiB) in 1 wave on rank 0, 2',
    'mode automatic; drained: rank 2',
  ]);
});

it('a preview of what would be refused does not say that it held', () => {
  const code = 'ISOBAR_COORDINATOR_DEGRADED';
  const refused: ChangeAnswer = {
    ...preview,
    outcome: 'would-be-refused',
    reason: 'too few slots',
    code,
    effect: null,
  };
  expect(renderChange(refused)).toBe(`drain (dry run): would be refused: ${code}: too few slots`);
});

import {
  type ExplainAnswer,
  IsobarError,
  type PlanSummary,
  type StatusAnswer,
} from '@isobar/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderParameters } from '../src/commands/parameters.js';
import { renderChange } from '../src/commands/render-change.js';
import { progressLines } from '../src/commands/render-progress.js';
import { renderPlan, renderStatus } from '../src/commands/render-status.js';
import { renderExplanation } from '../src/commands/watching.js';
import { leaderChecks } from '../src/doctor/leader-checks.js';
import { rankChecks } from '../src/doctor/rank-checks.js';
import { printable } from '../src/drawing/fit.js';
import { readAnswer } from '../src/read-answer.js';
import { plain } from '../src/terminal/paint.js';
import { renderTop } from '../src/top/render-top.js';
import { initialTop, withStatus } from '../src/top/top-state.js';
import { statusOf, swapUnderWay } from './support/status.js';

const numRuns = 1_500;
/** Another finds others: ISOBAR_FUZZ_SEED. */
const seed = Number(process.env.ISOBAR_FUZZ_SEED ?? 20_261_129);

const plan: PlanSummary = {
  ...{ id: 'abcd', baseVersion: 3, policy: 'default', planMs: 4, moves: 2, bytes: 20, waves: 1 },
  ...{ benefitSeconds: 1, costSeconds: 0.5, pays: true, reason: 'its gain pays for its moves' },
  balancedness: { before: 0.7, after: 0.9 },
  forecast: {
    ...{ relativeError: 0.07, layers: 4, shiftedLayers: 1, periodicLayers: 1 },
    methods: { mean: 0.25, 'last-window': 0.75 },
  },
  economy: statusOf(1).economy,
};
const status = statusOf(8, {
  swap: swapUnderWay,
  pendingPlan: plan,
  dead: [{ rank: 3, incarnation: '0123456789abcdef', proof: 'cut' }],
  history: [
    {
      ...{ at: '2026-01-01T00:00:00.000Z', plan, outcome: 'applied', askedBy: 'operator' },
      ...{ wavesCommitted: 1, measuredBalancedness: null, measuredStepMillis: null },
    },
  ],
});
const explained: ExplainAnswer = {
  ...{ version: 7, outcome: 'committed', reason: 'plan abcd', term: 3, change: 'rebalance' },
  ...{ digest: '0'.repeat(64), members: [], moves: 2, bytes: 20, plan: null, votes: null },
  askedBy: {
    ...{ id: 'one', command: 'rebalance' },
    requester: { verified: false, account: null, user: 'alice', host: null },
  },
  measured: { balancedness: { before: 0.7, after: 0.9 }, stepMillis: null },
  durations: { totalMs: 9 },
  events: [{ kind: 'decided', at: 5, version: 7, cause: { deep: [1, 'two'] } }],
};
const changed = {
  ...{ requestId: 'one', command: 'drain', dryRun: false, state: 'done', outcome: 'committed' },
  ...{ reason: '', code: null, baseVersion: 3, version: 4, plan },
  effect: { waves: 1, moves: 4, bytes: 4_096, ranks: [0, 2] },
  control: {
    ...{ mode: 'automatic', paused: false, held: 'rolled back', drained: [2], parameters: {} },
    slotLimits: [{ rank: 1, slots: 4 }],
    dead: [{ rank: 3, incarnation: '0123456789abcdef' }],
  },
};
const parameters = {
  file: 'isobar.yaml',
  parameters: [
    {
      ...{ name: 'coordinator.policy', value: 'default', unit: null, origin: 'file' },
      ...{ from: 'file, line 4', atRunTime: 'command' },
    },
  ],
  unusable: [{ name: 'coordinator.old', what: 'unknown' }],
};

/** All that is shown of an answer. */
const shown: Record<string, readonly [valid: object, show: (bytes: Uint8Array) => string]> = {
  status: [
    status,
    (bytes) => {
      const answer = readAnswer('status', bytes);
      const facts = { status: { kind: 'answer', answer } } as unknown as Parameters<
        typeof leaderChecks
      >[0];
      const events = { events: { kind: 'answer', answer: [] } } as const;
      const running = { command: 'drain', effect: null, elapsedMs: 5 };
      const checks = [...rankChecks(answer, null), ...leaderChecks({ ...facts, ...events })];
      const state = withStatus(initialTop('demo', 1), answer, 2);
      expect(checks.length).toBeGreaterThan(10);
      return [
        renderStatus(printable(answer)),
        ...progressLines(printable(answer), running),
        ...renderTop(state, { columns: 100, rows: 30 }, plain),
      ].join('\n');
    },
  ],
  plan: [plan, (bytes) => renderPlan(printable(readAnswer('plan', bytes)))],
  explain: [explained, (bytes) => renderExplanation(printable(readAnswer('explain', bytes)))],
  drain: [changed, (bytes) => renderChange(printable(readAnswer('drain', bytes)))],
  parameters: [parameters, (bytes) => renderParameters(printable(readAnswer('parameters', bytes)))],
};

const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown[]>(
    ...[null, true, '', '\u001b[2J\u001b[31m\nok', 'x'.repeat(10_000), [], {}, [[[]]]],
    ...[-1, 0, 1e308, -1e308, 2 ** 53, 0.1, { __proto__: null }, '__proto__'],
  ),
  fc.jsonValue({ maxDepth: 4 }),
);

/** The value with something else at some place in it. */
function disturbed(value: unknown, places: readonly number[], by: unknown): unknown {
  const [place, ...deeper] = places;
  if (place === undefined || typeof value !== 'object' || value === null) return by;
  const names = Object.keys(value);
  const name = names[place % Math.max(1, names.length)];
  if (name === undefined) return by;
  const changedPart = disturbed((value as Record<string, unknown>)[name], deeper, by);
  if (Array.isArray(value)) return value.with(Number(name), changedPart);
  return { ...value, [name]: changedPart };
}

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
// biome-ignore lint/suspicious/noControlCharactersInRegex: what would move a cursor
const unprintable = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

describe.each(Object.entries(shown))('a hostile answer to %s', (name, [valid, show]) => {
  /** Whether it was shown; else it was refused with a code. */
  function isShown(bytes: Uint8Array): boolean {
    try {
      expect(show(bytes)).not.toMatch(unprintable);
      return true;
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      expect(error).toMatchObject({ code: 'ISOBAR_CLI_ANSWER', fields: { command: name } });
      return false;
    }
  }

  it('with other values in it is refused with a code, or shown', () => {
    expect(isShown(encode(valid))).toBe(true);
    const places = fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 5 });
    let refused = 0;
    fc.assert(
      fc.property(places, odd, (at, by) => {
        if (!isShown(encode(disturbed(valid, at, by)))) refused += 1;
      }),
      { numRuns, seed },
    );
    expect(refused).toBeGreaterThan(numRuns / 10);
  });

  it('of other bytes is refused with a code, or shown', () => {
    const bytes = encode(valid);
    const change = fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let copy = new Uint8Array(bytes);
        for (const [at, byte, isCut] of changes) {
          if (isCut) copy = copy.slice(0, at);
          else if (at < copy.length) copy[at] = byte;
        }
        isShown(copy);
      }),
      { numRuns, seed },
    );
  });

  it('that is nested without end, or too large, is refused with a code', () => {
    const nested = `{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
    expect(isShown(new TextEncoder().encode(nested))).toBe(false);
    expect(isShown(new TextEncoder().encode('['.repeat(1_000_000)))).toBe(false);
    expect(isShown(new Uint8Array(8_388_609).fill(0x20))).toBe(false);
    expect(isShown(Uint8Array.of(0xff, 0xfe))).toBe(false);
  });
});

it('an event that is nested without end is refused with a code', () => {
  const [valid, show] = shown.explain ?? expect.unreachable();
  const nested = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const text = JSON.stringify(valid).replace('"two"', nested);
  expect(() => show(new TextEncoder().encode(text))).toThrow(
    expect.objectContaining({ code: 'ISOBAR_CLI_ANSWER' }),
  );
});

describe('an answer of very many ranks', () => {
  it('is shown, or refused with a code', () => {
    const { ranks, ...rest } = status;
    // As status is told to all but doctors.
    const { place: _place, origin: _origin, ...first } = ranks[0] ?? expect.unreachable();
    const many: StatusAnswer['ranks'] = Array.from({ length: 16_000 }, (_, rank) => ({
      ...first,
      rank,
    }));
    const [, show] = shown.status ?? expect.unreachable();
    expect(show(encode({ ...rest, ranks: many })).length).toBeGreaterThan(1_000_000);
    const more = encode({ ...rest, ranks: [...many, ...many] });
    expect(() => show(more)).toThrow(/at most 8388608 are read/);
    const missing = Array.from({ length: 1_000_000 }, (_, at) => at % 7);
    const load = { ...status.load, missingRanks: missing };
    expect(show(encode({ ...status, load }))).toContain('waiting for rank');
  });
});

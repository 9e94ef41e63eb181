import { describe, expect, it } from 'vitest';
import { coloured, plain } from '../src/terminal/paint.js';
import { renderTop } from '../src/top/render-top.js';
import {
  initialTop,
  type TopState,
  withEvents,
  withKey,
  withStatus,
} from '../src/top/top-state.js';
import { rankOf, statusOf, swapUnderWay } from './support/status.js';
import { withoutStyles } from './support/styles.js';

const at = Date.UTC(2026, 0, 1, 12, 0, 5);

function stateOf(numRanks: number, changes: Partial<TopState> = {}): TopState {
  const first = withStatus(initialTop('demo', at), statusOf(numRanks), at - 1_000);
  const worse = statusOf(numRanks);
  const second = { ...worse, load: { ...worse.load, balancedness: 0.7 } };
  const state = withStatus(withStatus(first, second, at - 500), statusOf(numRanks), at);
  const events = [
    { kind: 'decided', at: at - 60_000, version: 7, outcome: 'committed', reason: 'plan 0badcafe' },
    { kind: 'command', at: at - 3_000, command: 'pause', outcome: 'done', requestId: 'abc' },
  ];
  return { ...withEvents(state, events), ...changes };
}

const frame = (state: TopState, columns: number, rows: number | null) =>
  renderTop(state, { columns, rows }, plain);

describe('a frame of top', () => {
  it('shows a small deployment whole', () => {
    expect(`\n${frame(stateOf(8), 100, 28).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      isobar top  demo  12:00:05 UTC  led by coordinator-0 (term 3, renewed 1.2 s ago)
      mode automatic  version 7  26 layers, 64 experts in 80 slots on 8 ranks  swaps 6 committed, 1 void
      balancedness 0.912  █▁█ 0.70-0.91  imbalance 1.13  step 203.4 ms
      swap none
       ranks: 8, by rank 
      rank  node    load (half: the mean)           load  version  buffers   reported  state
         0  node-0  ████████████·················   0.80        7    20/20      0.4 s  up
         1  node-0  ████████████·················   0.86        7    20/20      0.4 s  up
         2  node-0  █████████████················   0.92        7    20/20      0.4 s  up
         3  node-0  ██████████████···············   0.98        7    20/20      0.4 s  up
         4  node-1  ███████████████··············   1.04        7    20/20      0.4 s  up
         5  node-1  ████████████████·············   1.10        7    20/20      0.4 s  up
         6  node-1  █████████████████············   1.16        7    20/20      0.4 s  up
         7  node-1  ██████████████████···········   1.22        7    20/20      0.4 s  up
       layers of largest imbalance 
      layer 5 (model 8)     ██████████··········  1.50 × mean on rank 3
      layer 1               █████···············  1.25 × mean on rank 0
       last events 
      11:59:05  decided             version 7  committed  plan 0badcafe
      12:00:02  command             pause  done  requestId="abc"







      q quit  p pause  s sort  n nodes/ranks  ↑↓ scroll  ? help
      "
    `);
  });

  it('shows the swap under way, and ranks that are not as they should be', () => {
    const status = statusOf(8, { swap: swapUnderWay, paused: true, heldBack: 'paused' });
    const ranks = [
      rankOf(0, { staged: { version: 8, staged: 3, total: 6 } }),
      rankOf(1, { engineConnected: false }),
      rankOf(2, { reportAgeMs: 9_000 }),
      rankOf(3, { reportAgeMs: null }),
      rankOf(4, { drained: true, loadShare: 0 }),
    ];
    const state = withStatus(initialTop('demo', at), { ...status, ranks }, at);
    expect(`\n${frame(state, 72, 18).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      isobar top  demo  12:00:05 UTC  led by coordinator-0 (term 3, renewed 1.
      mode automatic, PAUSED  version 7  26 layers, 64 experts in 80 slots on 
      balancedness 0.912  imbalance 1.13  step 203.4 ms
      swap version 8  preparing  4/8 ranks voted  ██████······ 3/6 experts  76
      held back    paused
       ranks: 5, by rank 
      rank  node    load (half: the mean)   load  version  state
         0  node-0  ████████·············   0.80        7  up, staged 3/6
         1  node-0  █████████············   0.86        7  engine away
         2  node-0  ██████████···········   0.92        7  silent 9.0 s
         3  node-0  ██████████···········   0.98        7  never heard
         4  node-1  ·····················   0.00        7  up, drained
       layers of largest imbalance 
      layer 5 (model 8)     ██████████··········  1.50 × mean on rank 3
      layer 1               █████···············  1.25 × mean on rank 0


      q quit  p resume  s sort  n nodes/ranks  ↑↓ scroll  ? help
      "
    `);
  });

  it('shows many ranks by node, and each of them when asked, from where it is scrolled to', () => {
    const state = stateOf(256);
    const nodes = frame(state, 80, 20);
    expect(nodes).toHaveLength(20);
    expect(nodes[4]).toContain('nodes: 1-');
    expect(nodes[4]).toContain('of 64, by rank');
    const ranks = withKey(state, 'n', 10) ?? state;
    const scrolled = withKey(ranks, 'pagedown', 10) ?? ranks;
    const lines = frame(scrolled, 80, 20);
    expect(lines[4]).toMatch(/ranks: 11-\d+ of 256/);
    expect(lines[6]).toMatch(/^ {2}10 /);
    const end = frame({ ...scrolled, scrolled: 10_000 }, 80, 20);
    expect(end.some((line) => /^ 255 /.test(line))).toBe(true);
  });

  it('sorts by load, the largest first', () => {
    const sorted = withKey(stateOf(8), 's', 10) ?? stateOf(8);
    expect(frame(sorted, 100, 28)[6]).toMatch(/^ {3}7 /);
  });

  it('says that nobody leads, and how old the rest is', () => {
    const state = stateOf(8, { trouble: 'nobody leads: no answer in time', nowMs: at + 7_000 });
    const lines = frame(state, 100, 28);
    expect(lines[1]).toBe('nobody leads: no answer in time; below: 7.0 s ago');
    const never = { ...initialTop('demo', at), trouble: 'nobody leads' };
    expect(frame(never, 100, 5)).toEqual([
      'isobar top  demo  12:00:05 UTC',
      'nobody leads',
      '',
      '',
      'q quit  p pause  s sort  n nodes/ranks  ↑↓ scroll  ? help',
    ]);
  });

  it('shows alarms until they are over', () => {
    const alarm = {
      kind: 'alarm',
      at: at - 90_000,
      alarm: 'slow-phase',
      version: 8,
      missingRanks: [3],
    };
    const raised = withEvents(stateOf(8), [alarm]);
    expect(frame(raised, 100, 30)[4]).toBe(
      'alarm slow-phase 90 s ago: slow-phase  version 8  missingRanks=[3]',
    );
    const over = withEvents(raised, [
      { kind: 'swap-finished', at, version: 8, outcome: 'committed' },
    ]);
    expect(frame(over, 100, 30)[4]).toContain('ranks: 8');
  });

  it.each([
    [20, 5],
    [40, 12],
    [80, 24],
    [200, 60],
  ])('fits %i columns and %i rows, in colours too', (columns, rows) => {
    for (const numRanks of [1, 8, 256]) {
      for (const isHelping of [false, true]) {
        const state = stateOf(numRanks, { isHelping });
        const lines = renderTop(state, { columns, rows }, coloured);
        expect(lines).toHaveLength(rows);
        for (const line of lines) {
          expect([...withoutStyles(line)].length).toBeLessThanOrEqual(columns);
        }
        expect(lines.map(withoutStyles)).toEqual(frame(state, columns, rows));
      }
    }
  });

  it('is not steered by names and reasons from outside', () => {
    const hostile = { kind: 'decided', at, reason: 'x\u001b[2J\u001b[31m\ny' };
    const state = withEvents(stateOf(8), [hostile]);
    expect(frame(state, 100, 30).join('\n')).not.toContain('\u001b');
  });

  it('shows ranks that leave, and slots that are not offered', () => {
    const ranks = [
      rankOf(0, { leaving: true }),
      rankOf(1, { slots: { own: 12, offered: 12, limit: 8 } }),
      rankOf(2, { drained: true, leaving: true }),
    ];
    const state = withStatus(initialTop('demo', at), statusOf(3, { ranks }), at);
    const text = frame(state, 120, 28).join('\n');
    for (const told of ['up, leaving', 'up, 8 of 12 slots', 'up, drained, leaving']) {
      expect(text).toContain(told);
    }
  });
});

import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Standing } from '@isobar/protocol';
import type { Comparison } from '@isobar/reference-engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Acknowledgements } from './src/acknowledgements.js';
import { appendReport, emptyReport, readReports } from './src/case-report.js';
import { chaosCases } from './src/chaos-cases.js';
import { environmentOf } from './src/environment.js';
import { planSessions } from './src/session-plan.js';
import { summarize } from './src/summary.js';
import { laterPhase, type SeenPhase, type SwapPhase, swapPhases } from './src/swap-phase.js';
import { endViolations, tokenViolations } from './src/token-checks.js';

const seen = (phase: SwapPhase, version = 5, term = 1): SeenPhase => ({
  fence: { term, nonce: '0123456789abcdef' },
  version,
  phase,
});

describe('the phase of a swap', () => {
  it.each<[string, SeenPhase, SeenPhase]>([
    ['a later phase', seen('preparing'), seen('deciding')],
    ['a void', seen('deciding'), seen('discarding')],
    ['the next version', seen('idle'), seen('preparing', 6)],
    ['a new leader that goes on with it', seen('retiring'), seen('activating', 5, 2)],
  ])('changes with %s, and not back by what comes late', (_, before, after) => {
    expect(laterPhase(before, after)).toBe(after);
    expect(laterPhase(after, before)).toBe(after);
  });
});

describe("stalls of the records' stream", () => {
  const acknowledgements = new Acknowledgements();
  for (const atMs of [1_000, 1_050, 1_400, 4_400, 4_450]) acknowledgements.add(atMs);

  it.each([
    [1_000, 1_400, 0],
    [1_000, 4_450, 3_000],
    [2_000, 3_000, 1_000],
    [4_400, 6_400, 1_950],
    [0, 1_400, 1_000],
  ])('between %i and %i ms last %i ms', (fromMs, toMs, stalledMs) => {
    expect(acknowledgements.stalledMs(fromMs, toMs)).toBe(stalledMs);
  });
});

describe('the list of cases', () => {
  it('has every victim killed and paused in every phase, and no name twice', () => {
    const victims = ['leader', 'standby', 'agent', 'engine', 'stream-leader', 'stream-follower'];
    for (const victim of victims) {
      for (const fault of ['kill', 'pause']) {
        const phases = chaosCases
          .filter((each) => each.victim === victim && each.fault === fault)
          .map(({ phase }) => phase);
        expect(new Set(phases), `${victim} ${fault}`).toEqual(new Set(swapPhases));
      }
    }
    expect(new Set(chaosCases.map(({ name }) => name)).size).toBe(chaosCases.length);
  });
});

describe('the cases that share a cluster', () => {
  const sessions = planSessions(chaosCases);

  it('are all cases, once each', () => {
    const names = sessions.flat().map(({ name }) => name);
    expect(names.sort()).toEqual(chaosCases.map(({ name }) => name).sort());
  });

  it('need the same cluster, and nothing is run after what is killed for good', () => {
    for (const session of sessions) {
      const needs = session.map((each) =>
        [each.activation, environmentOf(each), each.phase === 'discarding'].join(),
      );
      expect(new Set(needs).size).toBe(1);
      expect(session.slice(0, -1).map(({ fault }) => fault)).not.toContain('kill-for-good');
    }
  });
});

const nothingWrong = {
  tokens: 100,
  tokensLost: 0,
  tokensLostUnmasked: 0,
  tokensMisrouted: 0,
  tokensChanged: 0,
};

function resultsOf(maskedRanks: number, mappingVersion = 4, standing: Standing = 'serving') {
  const step = {
    step: 0,
    traceStep: 0,
    numTokens: 8,
    mappingVersion,
    swapOpen: false,
    startedAtMs: 0,
    stepMillis: 1,
    maskedRanks,
    attempts: 1,
    served: new Uint32Array(1),
    checksums: new Uint32Array(8),
  };
  const shape = { numRanks: 8, rank: 0, incarnation: '0123456789abcdef', numLayers: 1, topK: 1 };
  return { ...shape, steps: [step], end: { standing, swaps: [] } };
}

describe('tokens', () => {
  const [agent, engine] = ['agent', 'engine'].map((victim) =>
    chaosCases.find((each) => each.victim === victim && each.fault === 'kill'),
  );

  it.each<[string, typeof agent, Partial<Comparison>, number, boolean]>([
    ['are all right', agent, {}, 0, true],
    ['are misrouted', engine, { tokensMisrouted: 1 }, 0, false],
    ['are changed', engine, { tokensChanged: 1 }, 0, false],
    ['are lost by an agent', agent, { tokensLost: 1 }, 0, false],
    ['are lost by an engine', engine, { tokensLost: 1 }, 1, true],
    ['are lost by nobody', engine, { tokensLost: 1, tokensLostUnmasked: 1 }, 1, false],
    ['are lost by others too', engine, { tokensLost: 1 }, 2, false],
    ['miss a rank that nobody killed', agent, {}, 1, false],
    ['are not served at all', agent, { tokens: 0 }, 0, false],
  ])('that %s', (_, chaosCase, wrong, maskedRanks, allowed) => {
    if (chaosCase === undefined) throw new Error('no such case');
    const comparison = { ...nothingWrong, ...wrong };
    const violations = tokenViolations(chaosCase, comparison, [resultsOf(maskedRanks)]);
    expect(violations.length === 0, violations.join()).toBe(allowed);
  });

  it('end on one version, served by members', () => {
    expect(endViolations([resultsOf(0, 4), resultsOf(0, 4)])).toEqual([]);
    expect(endViolations([resultsOf(0, 4), resultsOf(0, 5)])).toHaveLength(1);
    expect(endViolations([resultsOf(0, 4), resultsOf(0, 4, 'stopped')])).toHaveLength(1);
  });
});

describe('reports', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-reports-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('are read again, but for a line that was cut off', async () => {
    const path = join(folder, 'reports.jsonl');
    expect(await readReports(path)).toEqual([]);
    const reports = [1, 2].map((round) => emptyReport('agent/kill/idle/two-table', 'short', round));
    for (const report of reports) await appendReport(path, report);
    await appendFile(path, '{"case":"agent/');
    expect(await readReports(path)).toEqual(reports);
    const next = emptyReport('agent/kill/idle/two-table', 'short', 3);
    await appendReport(path, next);
    expect(await readReports(path)).toEqual([...reports, next]);
  });

  it('are told as a table: a failure begins the count of green rounds anew', () => {
    const names = ['agent/kill/idle/two-table', 'agent/kill/retiring/two-table'];
    const reports = [true, false, true, true].flatMap((ok, round) =>
      names.map((name) => ({
        ...emptyReport(name, 'short', round + 1),
        ok: ok || name !== names[0],
        strikes: 1,
        tokens: 600,
        withoutLeaderMs: round * 100,
      })),
    );
    const lines = summarize(reports).split('\n');
    expect(lines[0]).toContain('every one of 2 cases green 2 times in a row or more');
    expect(lines).toContain('| agent / kill | 2 | 2 | 1 | 8 | 300 ms | 4,800 |');
  });
});

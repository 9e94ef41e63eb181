import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Acknowledgements } from './src/acknowledgements.js';
import { appendReport, emptyReport, readReports } from './src/case-report.js';
import { chaosCases } from './src/chaos-cases.js';
import { laterPhase, type SeenPhase, type SwapPhase, swapPhases } from './src/swap-phase.js';

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
  });
});

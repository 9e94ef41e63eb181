import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { LocalityAwarePolicy, type RebalanceReport, uniformSlotOffsets } from '@isobar/eplb';
import { readTrace } from '@isobar/trace';
import { describe, expect, it } from 'vitest';

const folder =
  process.env.ISOBAR_DATA ?? fileURLToPath(new URL('../../../../shared/data', import.meta.url));
const isPresent = existsSync(join(folder, 'dsv2lite-loads.jsonl.gz'));

function plan(loads: Float64Array, numLayers: number, numSlots: number, numRanks: number) {
  return new LocalityAwarePolicy().rebalanceExperts({
    numLayers,
    numLogicalExperts: loads.length / numLayers,
    slotOffsets: uniformSlotOffsets(numSlots, numRanks),
    loads,
  }).report;
}

/** Balancedness over that which the proven bounds allow. */
function attained(
  { balancedness, lowerBound }: RebalanceReport,
  loads: Float64Array,
  ranks: number,
) {
  const mean = loads.reduce((sum, load) => sum + load, 0) / ranks;
  return balancedness / (mean / lowerBound.reduce((sum, bound) => sum + bound, 0));
}

describe.skipIf(!isPresent)(`captured loads (skipped where ${folder} is absent)`, () => {
  it.each(['dsr1-gpqa', 'dsr1-gpqa-first128', 'dsr1-gpqa-request0'])(
    '%s: at least 0.995 of what the proven bounds allow, 288 slots on 32 ranks',
    (name) => {
      const text = gunzipSync(readFileSync(join(folder, `${name}.json.gz`))).toString();
      const rows: number[][] = JSON.parse(text).loads;
      const loads = Float64Array.from(rows.flat());
      expect(attained(plan(loads, rows.length, 288, 32), loads, 32)).toBeGreaterThan(0.995);
    },
  );

  it.each([
    [80, 16],
    [72, 8],
  ])(
    'dsv2lite: so in every window, %i slots on %i ranks',
    async (slots, ranks) => {
      const trace = await readTrace(join(folder, 'dsv2lite-loads.jsonl.gz'));
      const { numLayers } = trace.header;
      for (let first = 0; first + 8 <= trace.numSteps; first += 8) {
        const loads = trace.loads(first);
        for (let step = first + 1; step < first + 8; step += 1) {
          trace.loads(step).forEach((tokens, index) => {
            loads[index] = (loads[index] ?? 0) + tokens;
          });
        }
        expect(attained(plan(loads, numLayers, slots, ranks), loads, ranks)).toBeGreaterThan(0.995);
      }
    },
    120_000,
  );
});

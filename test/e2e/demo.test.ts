import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dataFolder } from './data-folder.js';
import { runIsobarOfClone } from './run-isobar.js';

const captured = [
  { file: 'dsv2lite-loads.jsonl.gz', activation: 'two-table' },
  { file: 'dsv2lite-tokens-intent.jsonl.gz', activation: 'in-place' },
  { file: 'dsv2lite-tokens-law.jsonl.gz', activation: 'two-table' },
] as const;

async function expectBalanced(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await runIsobarOfClone(
    'demo',
    '--duration',
    '30s',
    '--json',
    ...args,
  );
  expect(code, stderr).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    ranks: 8,
    tokensLost: 0,
    tokensMisrouted: 0,
    tokensChanged: 0,
    swapsVoided: 0,
    mappingVersionByRank: Array(8).fill(report.mappingVersion),
    stepMillis: { p50: expect.any(Number), p99: expect.any(Number) },
    stepMillisDuringSwap: { p50: expect.any(Number), p99: expect.any(Number) },
    blockedMillis: { p50: expect.any(Number), max: expect.any(Number) },
  });
  expect(report.tokens).toBeGreaterThan(0);
  expect(report.movedBytes).toBe(report.movedExperts * 65_536);
  expect(Math.max(...report.wavesByRebalance), 'waves of a rebalance').toBeGreaterThan(1);
  const { balancednessBefore: before, balancednessAfter: after } = report;
  expect(after - before, `${before} to ${after}`).toBeGreaterThanOrEqual((1 - before) / 2);
}

describe('isobar demo', () => {
  it('balances generated traffic, in place', async () => {
    await expectBalanced('--activation', 'in-place');
  });

  for (const { file, activation } of captured) {
    it.skipIf(dataFolder === null)(
      `balances the captured trace ${file}, ${activation} (skipped where there is no data folder)`,
      async () => {
        await expectBalanced('--trace', join(dataFolder ?? '', file), '--activation', activation);
      },
    );
  }
});

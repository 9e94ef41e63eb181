import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataFolder } from './data-folder.js';
import { installedIsobar } from './installed.js';
import { runIsobar } from './run-isobar.js';

let folder = '';
let loads = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-plan-'));
  loads = join(folder, 'loads.csv');
  await writeFile(loads, 'layer,e0,e1,e2,e3\n0,9,1,1,1\n1,1,9,1,1\n');
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const sizes = ['--ranks', '3', '--nodes', '3', '--slots', '6'];
const run = (...args: string[]) => runIsobar('plan', '--loads', loads, ...sizes, ...args);

describe('isobar plan --loads', () => {
  it('prints the plan and nothing else, needing no server', async () => {
    const { code, stdout, stderr } = await run('--out', '-');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { physical_to_logical_map: rows, report } = JSON.parse(stdout);
    expect(rows.map((row: number[]) => [...new Set(row)].sort())).toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ]);
    expect(report).toMatchObject({ policy: 'locality-aware', forecast: { method: 'given' } });
  });

  it('writes the plan and prints a summary, or the plan again with --json', async () => {
    const out = join(folder, 'plan.json');
    const summary = await run('--out', out, '--policy', 'default');
    expect(summary).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('balancedness  1.0'),
    });
    const again = await run('--current', out, '--seed', '2', '--deadline', '1s', '--json');
    expect(JSON.parse(await readFile(out, 'utf8')).report.policy).toBe('default');
    expect(JSON.parse(again.stdout).report).toMatchObject({ balancednessBefore: 1, moves: 0 });
  });

  it('goes quietly when its reader has had enough', async () => {
    const row = Array.from({ length: 512 }, (_, expert) => expert);
    const big = join(folder, 'big.json');
    await writeFile(big, JSON.stringify(Array(64).fill(row)));
    // A pipe holds 64 KiB: the plan is longer, so the command is still writing when head leaves.
    const command = `"$0" "$1" plan --loads "$2" --ranks 8 --slots 512 --budget 1 --json | head -c 1`;
    const { stdout, stderr } = spawnSync(
      'sh',
      ['-c', command, process.execPath, installedIsobar, big],
      {
        encoding: 'utf8',
      },
    );
    expect({ stdout, stderr }).toEqual({ stdout: '{', stderr: '' });
  });

  it('ends with 1 and a coded line where a file is wrong', async () => {
    await writeFile(join(folder, 'bad.csv'), '1,2\n3,-4\n');
    const given = ['plan', '--loads', join(folder, 'bad.csv'), ...sizes];
    const { code, stdout, stderr } = await runIsobar(...given);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^isobar: ISOBAR_TRACE_INVALID: .*bad\.csv:2: column 2: is -4/);
  });

  it.each<[string, string[]]>([
    ['--ranks missing', ['--loads', 'x', '--slots', '6']],
    ['--slots missing', ['--loads', 'x', '--ranks', '3']],
    ['more nodes than ranks', ['--loads', 'x', '--ranks', '3', '--nodes', '4', '--slots', '6']],
    ['an unknown policy', ['--loads', 'x', ...sizes, '--policy', 'best']],
    ['a budget of nothing', ['--loads', 'x', ...sizes, '--budget', '0']],
    ['a deadline without a unit', ['--loads', 'x', ...sizes, '--deadline', '5']],
    ['options of files without --loads', ['--ranks', '3']],
  ])('ends with 2: %s', async (_, args) => {
    expect(await runIsobar('plan', ...args)).toMatchObject({ code: 2, stdout: '' });
  });

  it.skipIf(dataFolder === null)('plans captured loads (skipped without data)', async () => {
    const given = ['--loads', join(dataFolder ?? '', 'dsr1-gpqa.json.gz'), '--policy', 'default'];
    const shape = ['--ranks', '32', '--nodes', '4', '--slots', '288', '--groups', '8'];
    const { code, stdout } = await runIsobar('plan', ...given, ...shape, '--json');
    expect(code).toBe(0);
    const { physical_to_logical_map: rows, replica_count: counts } = JSON.parse(stdout);
    expect([rows.length, rows[0].length, counts.length, counts[0].length]).toEqual([
      58, 288, 58, 256,
    ]);
  });
});

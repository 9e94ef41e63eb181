import { readFile } from 'node:fs/promises';
import { formatTopology, uniformTopology } from '@isobar/topology';
import { afterEach, describe, expect, it } from 'vitest';
import { hasTerminals, runIsobar, startAtTerminal, startIsobar } from './run-isobar.js';
import { SmallCluster, type SmallClusterOptions } from './small-cluster.js';

let running: SmallCluster | null = null;

async function start(options?: SmallClusterOptions): Promise<SmallCluster> {
  running = await SmallCluster.start(options);
  return running;
}

afterEach(async () => {
  await running?.close();
  running = null;
});

function isobar({ cluster }: SmallCluster, ...args: string[]) {
  return runIsobar('--server', cluster.natsUrl, '--deployment', 'demo', ...args);
}

interface Check {
  readonly name: string;
  readonly verdict: string;
  readonly found: string;
  readonly advice: string | null;
}

/** Checks that are not ok, by name, and how the doctor ended. */
async function doctor(small: SmallCluster) {
  const { code, stdout, stderr } = await isobar(small, 'doctor', '--json');
  expect(stderr).toBe('');
  const { checks } = JSON.parse(stdout) as { readonly checks: readonly Check[] };
  const wrong = checks.filter(({ verdict }) => verdict !== 'ok');
  return { code, checks, wrong: new Map(wrong.map((check) => [check.name, check])) };
}

describe('a command that changes something', () => {
  it('is shown first, and done only where somebody says yes', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    await small.event(({ kind }) => kind === 'plan');

    const unsaid = await isobar(small, 'drain', '3');
    expect(unsaid).toMatchObject({ code: 2, stdout: '' });
    expect(unsaid.stderr).toContain('say --yes, or --dry-run to see what it would do');
    const looked = await isobar(small, 'drain', '3', '--dry-run');
    expect(looked.code).toBe(0);
    expect(looked.stdout).toMatch(/^drain \(dry run\): would be done: rank 3 would hold no expert/);
    expect(looked.stdout).toMatch(/^\d+ moves \(.*\) in \d+ waves? on rank /m);
    expect(looked.stdout).toContain('drained: rank 3');
    expect((await small.status()).drained).toEqual([]);

    const done = await isobar(small, 'drain', '3', '--yes', '--request-id', 'mine', '--json');
    expect(done.code, done.stderr).toBe(0);
    // What it would do is told as well, and the answer alone is the result.
    expect(done.stderr).toMatch(/^drain \(dry run\): would be done/);
    expect(JSON.parse(done.stdout)).toMatchObject({ outcome: 'committed', requestId: 'mine' });
    expect((await small.status()).drained).toEqual([3]);

    const { swaps } = await small.status();
    const again = await isobar(small, 'drain', '3', '--yes', '--request-id', 'mine', '--json');
    expect(again.stderr).toContain('request mine was taken before (committed)');
    expect(JSON.parse(again.stdout)).toMatchObject({ outcome: 'committed', requestId: 'mine' });
    expect((await small.status()).swaps).toEqual(swaps);
    const reused = await isobar(small, 'drain', '2', '--yes', '--request-id', 'mine');
    expect(reused).toMatchObject({ code: 1, stdout: '' });
    expect(reused.stderr).toContain('ISOBAR_COORDINATOR_REQUEST_ID_REUSED');
  });

  it('is waited for, and goes on where nobody waits', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    // Without this vote nothing can be decided, for as long as the test wants.
    const { pid: voter } = small.cluster.process('agent-0');
    if (voter === undefined) throw new Error('the agent does not run');
    process.kill(voter, 'SIGSTOP');
    const begun = await isobar(small, 'drain', '3', '--yes', '--no-wait', '--json');
    const { requestId, outcome } = JSON.parse(begun.stdout);
    expect([begun.code, outcome]).toEqual([0, null]);
    expect(begun.stderr).toContain(`the same command with --request-id ${requestId}`);
    const drain = ['drain', '3', '--yes', '--request-id', requestId];
    const short = await isobar(small, ...drain, '--wait', '600ms');
    expect(short.code, short.stdout).toBe(4);

    const given = ['--server', small.cluster.natsUrl, '--deployment', 'demo', ...drain];
    const left = startIsobar(...given);
    await left.said(/^drain: wave 1 of \d+: version 2 preparing$/m);
    left.child.kill('SIGINT');
    const { code, stdout, stderr } = await left.ended;
    expect([code, stdout]).toEqual([130, '']);
    expect(stderr).toContain('drain goes on; nobody waits for it here any more');
    expect(stderr).toMatch(/^ +to cancel it +isobar cancel$/m);
    expect((await small.status()).swap).toMatchObject({ version: 2, phase: 'preparing' });

    const whole = startIsobar(...given);
    await whole.said(/version 2 preparing/);
    process.kill(voter, 'SIGCONT');
    expect((await whole.ended).stdout).toMatch(/^drain: committed/);
  });
});

describe.skipIf(!hasTerminals)('at a terminal', () => {
  const enterScreen = '\u001b[?1049h';
  const leaveScreen = '\u001b[?1049l';

  it('a change is shown and asked for, and drawn until it is done', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const given = ['--server', small.cluster.natsUrl, '--deployment', 'demo', 'drain', '3'];
    for (const [keys, expected] of [
      ['n\r', 1],
      ['\r', 1],
      ['\u0003', 130],
    ] as const) {
      const refused = startAtTerminal(...given);
      await refused.said(/drained: rank 3[\s\S]*Apply\? \[y\/N\]/);
      refused.type(keys);
      const { code, stdout } = await refused.ended;
      expect(code, stdout).toBe(expected);
      expect(stdout).toContain('nothing was changed');
    }
    expect((await small.status()).drained).toEqual([]);

    const applied = startAtTerminal(...given);
    await applied.said(/Apply\?/);
    applied.type('y\r');
    const { code, stdout } = await applied.ended;
    expect(code, stdout).toBe(0);
    expect(stdout).toMatch(/drain: committed/);
    expect((await small.status()).drained).toEqual([3]);
  });

  it('top gives the screen back, however it ends, and obeys its keys', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const given = ['--server', small.cluster.natsUrl, '--deployment', 'demo', 'top'];
    const top = startAtTerminal(...given);
    await top.said(/version .*1.* 4 layers, 16 experts/);
    top.type('p');
    await top.said(/pause: no further wave would begin\. Apply\? \[y\/N\]/);
    top.type('y');
    await top.said(/PAUSED/);
    expect((await small.status()).paused).toBe(true);
    top.type('q');
    const { code, stdout } = await top.ended;
    expect(code).toBe(0);
    expect(stdout.startsWith(enterScreen)).toBe(true);
    expect(stdout.endsWith(leaveScreen)).toBe(true);

    const killed = startAtTerminal(...given);
    await killed.said(/isobar top/);
    process.kill(await childOf(killed.child.pid), 'SIGTERM');
    const end = await killed.ended;
    expect(end.code).toBe(130);
    expect(end.stdout.endsWith(leaveScreen)).toBe(true);
  });
});

/** The program that `script` runs. */
async function childOf(pid: number | undefined): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const [child = ''] = children.trim().split(' ');
  if (child === '') throw new Error('it does not run');
  return Number(child);
}

describe('isobar top', () => {
  it('prints one frame, and needs a terminal for more', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    await small.event(({ kind }) => kind === 'plan');
    const { code, stdout, stderr } = await isobar(small, 'top', '--once');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^isobar top {2}demo .* led by coordinator-0 \(term 1/);
    expect(stdout).toMatch(/^mode observe {2}version 1 {2}4 layers, 16 experts in 24 slots/m);
    for (const rank of [0, 1, 2, 3]) {
      expect(stdout).toMatch(new RegExp(`^ +${rank} +node-${rank >> 1} +[█·]+ .* up$`, 'm'));
    }
    expect(stdout).toMatch(/^layer \d+ .* × mean on rank \d$/m);
    expect(stdout).toMatch(/ decided +version 1 +committed/);
    const piped = await isobar(small, 'top');
    expect(piped).toMatchObject({ code: 2, stdout: '' });
    expect(piped.stderr).toContain('--once prints one frame');
  });
});

describe('isobar doctor', () => {
  it('finds a healthy deployment healthy, and says so when an agent is gone', async () => {
    const small = await start();
    await small.committed(1);
    // By then there are loads of every rank.
    await small.event(({ kind }) => kind === 'plan');
    const healthy = await doctor(small);
    expect(healthy.code, JSON.stringify([...healthy.wrong])).toBe(0);
    expect(healthy.checks.length).toBeGreaterThan(20);
    for (const name of ['clocks', 'server clock', 'rank clocks']) {
      expect(healthy.checks).toContainEqual(expect.objectContaining({ name, verdict: 'ok' }));
    }
    // One server alone is no cluster.
    expect(healthy.wrong.get('cluster')?.verdict).toBe('warn');
    expect(healthy.checks).toContainEqual(
      expect.objectContaining({ name: 'rank sources', found: 'rank 0-3 by --rank' }),
    );
    const each = await isobar(small, 'doctor', '--ranks');
    expect(each.stdout).toMatch(/^ok {4}places +4 ranks on 2 machines, as the topology has them/m);
    expect(each.stdout).toMatch(/^ok {4}rank 3 +by --rank; machine node-1, .*; topology: node-1$/m);

    await small.cluster.process('agent-2').kill();
    await expect
      .poll(() => doctor(small).then(({ wrong }) => wrong.get('agents')), {
        timeout: 60_000,
        interval: 500,
      })
      .toMatchObject({ verdict: 'fail', found: expect.stringContaining('silent: rank 2') });
    const { code, stdout } = await isobar(small, 'doctor');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^fail {2}agents +silent: rank 2/m);
    expect(stdout).toMatch(/^ +→ see that the rank-agent runs there/m);
  });

  it('says why nobody leads ranks that the topology does not have', async () => {
    const topology = formatTopology(uniformTopology({ numRanks: 3, numNodes: 1 }));
    const lease = { leaseMs: 2_000, renewDeadlineMs: 1_500, renewMs: 500, retryMs: 400 };
    const small = await start({ topology, coordinator: lease });
    await small.event(({ kind }) => kind === 'alarm');
    const { code, wrong } = await doctor(small);
    expect(code).toBe(1);
    expect(wrong.get('leader')?.verdict).toBe('fail');
    expect(wrong.get('alarm cannot-lead')).toMatchObject({
      verdict: 'fail',
      found: expect.stringContaining('ISOBAR_TOPOLOGY_RANKS'),
      advice: 'give every coordinator the topology of the ranks that run',
    });
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IsobarError } from '@isobar/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoordinatorClient } from '../src/coordinator-client.js';
import { gatherFacts } from '../src/doctor/facts.js';
import { gatherLocalFacts, localChecks } from '../src/doctor/local-checks.js';
import { rankPlaceChecks } from '../src/doctor/rank-place-checks.js';
import { originOf, rankOf, statusOf } from './support/status.js';

describe('a doctor of each rank', () => {
  it('tells where it runs, who says which it is, and what contradicts that', () => {
    const origin = originOf('--rank', 1, ['torchrun (RANK=2) says rank 2']);
    const tellings = [
      ...origin.tellings,
      { source: 'torchrun', rank: 2, numRanks: 8, localRank: 2 },
    ];
    const ranks = [
      rankOf(0),
      rankOf(1, { origin: { ...origin, tellings } }),
      rankOf(2, { place: null, origin: null }),
    ];
    expect(rankPlaceChecks(statusOf(3, { ranks }), null)).toEqual([
      {
        name: 'rank 0',
        verdict: 'ok',
        found:
          'by torchrun; machine hgx-0, place 0, rack r7, GPU 0 (NVIDIA H100, GPU-0), NVLink domain hgx-0/0; topology: node-0',
        advice: null,
      },
      {
        name: 'rank 1',
        verdict: 'warn',
        found: expect.stringContaining('by --rank; torchrun says 2; machine hgx-0'),
        advice: 'torchrun (RANK=2) says rank 2',
      },
      { name: 'rank 2', verdict: 'skip', found: 'does not tell where it runs', advice: null },
    ]);
    expect(rankPlaceChecks(statusOf(3), 'the answer would be too large')).toEqual([
      {
        name: 'each rank',
        verdict: 'skip',
        found: 'the answer would be too large',
        advice: null,
      },
    ]);
  });
});

describe('a doctor whose coordinator can not tell all places in one message', () => {
  it('asks without them, and keeps why', async () => {
    const tooLarge = new IsobarError('ISOBAR_COORDINATOR_TOO_LARGE', 'the answer is too large', {});
    const rejecting = { get: () => () => Promise.reject(tooLarge) };
    const client = (fits: boolean) =>
      ({
        bus: new Proxy({}, rejecting),
        ask: (command: string, { places }: { places?: boolean }) =>
          command === 'status' && (fits || places !== true)
            ? Promise.resolve(statusOf(2))
            : Promise.reject(tooLarge),
      }) as unknown as CoordinatorClient;
    const of = { deployment: 'demo', timeoutMs: 1_000 };
    const facts = await gatherFacts(client(false), of);
    expect(facts.status.kind).toBe('answer');
    expect(facts.placesRefused).toBe('the answer is too large');
    expect((await gatherFacts(client(true), of)).placesRefused).toBeNull();
  });
});

describe('a doctor of this machine', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-doctor-'));
    file = join(folder, 'isobar.yaml');
    const topology = 'topology: { ranks: 8, nodes: 2 }';
    await writeFile(file, `deployment: d\nnats: { servers: [a] }\n${topology}\n`);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const checks = async (environment: Readonly<Record<string, string>>, argument?: number) => {
    // Without nvidia-smi, whatever this machine has.
    const all = { PATH: folder, ISOBAR_NODE_NAME: 'node-1', ...environment };
    const facts = await gatherLocalFacts({ file, argument: argument ?? null, environment: all });
    return Object.fromEntries(
      localChecks(facts).map(({ name, verdict, found }) => [name, `${verdict}: ${found}`]),
    );
  };

  it('tells what an agent would find out', async () => {
    expect(await checks({ ISOBAR_LOCAL_RANK: '2', ISOBAR_PLACE: 'rack=r7' })).toEqual({
      rank: 'ok: 6, by topology',
      'source topology': 'ok: rank 6: ISOBAR_LOCAL_RANK=2, node node-1',
      place: 'ok: machine node-1, place 2, rack r7, GPU unknown',
      GPUs: 'skip: there is no nvidia-smi on the PATH',
      engine: 'ok: unix:/run/isobar/engine-6.sock; state in /var/lib/isobar',
    });
  });

  it('fails where an agent would not start, and warns where it would', async () => {
    const launchers = { RANK: '2', WORLD_SIZE: '8', SLURM_PROCID: '1' };
    const refused = await checks(launchers);
    expect(refused.rank).toMatch(/^fail: torchrun .* says rank 2, slurm .* says rank 1/);
    expect(refused['source slurm']).toBe('ok: rank 1: SLURM_PROCID=1');
    expect((await checks(launchers, 5)).rank).toBe('warn: 5, by --rank');
    expect(await checks({ RANK: '6', LOCAL_RANK: '2', WORLD_SIZE: '8' }, 6)).toMatchObject({
      rank: 'ok: 6, by --rank',
      place: 'ok: machine node-1, place 2, GPU unknown',
    });
    expect(await checks({})).toMatchObject({
      rank: expect.stringMatching(/^fail: nothing says which rank this is/),
      engine: 'skip: follows from the rank',
    });
  });

  it('needs no configuration', async () => {
    const environment = { PATH: folder, RANK: '2' };
    const facts = await gatherLocalFacts({ file: null, argument: null, environment });
    expect(localChecks(facts).map(({ name, verdict }) => [name, verdict])).toEqual([
      ['rank', 'ok'],
      ['source torchrun', 'ok'],
      ['place', 'ok'],
      ['GPUs', 'skip'],
      ['engine', 'skip'],
    ]);
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  discoverAgentRank,
  discoverRank,
  type Environment,
  localRankIn,
  originOf,
  type RankCircumstances,
  rankOf,
} from '@isobar/configuration';
import { rankOriginSchema } from '@isobar/protocol';
import { parseTopology, uniformTopology } from '@isobar/topology';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loaded } from './test-file.js';

const eightOnTwo = uniformTopology({ numRanks: 8, numNodes: 2 });
const discover = (
  environment: Environment,
  more: Partial<RankCircumstances> & { readonly argument?: number } = {},
) => {
  const { argument = null, ...circumstances } = more;
  const all = { ranksPerPod: 1, node: 'host', topology: eightOnTwo, ...circumstances };
  return discoverRank(argument, { environment, ...all });
};

/** As the launchers set them, with some of the others that they set. */
const torchrun = {
  RANK: '5',
  LOCAL_RANK: '1',
  WORLD_SIZE: '8',
  LOCAL_WORLD_SIZE: '4',
  GROUP_RANK: '1',
  ROLE_RANK: '5',
  MASTER_ADDR: 'host-0',
};
const slurm = {
  SLURM_PROCID: '5',
  SLURM_LOCALID: '1',
  SLURM_NTASKS: '8',
  SLURM_NODEID: '1',
  SLURM_JOB_ID: '4711',
  SLURMD_NODENAME: 'gpu-12',
};
const openmpi = {
  OMPI_COMM_WORLD_RANK: '5',
  OMPI_COMM_WORLD_SIZE: '8',
  OMPI_COMM_WORLD_LOCAL_RANK: '1',
};
const workerSet = {
  LWS_WORKER_INDEX: '1',
  LWS_GROUP_SIZE: '2',
  LWS_LEADER_ADDRESS: 'engine-0.engine',
  ISOBAR_LOCAL_RANK: '1',
};
const code = (name: string) => `ISOBAR_CONFIGURATION_RANK_${name}`;

describe('a rank', () => {
  it.each<[string, Environment, number, string]>([
    ['ISOBAR_RANK', { ISOBAR_RANK: '5' }, 1, 'ISOBAR_RANK'],
    ['torchrun', torchrun, 1, 'torchrun'],
    ['Slurm', slurm, 1, 'slurm'],
    ['Open MPI', openmpi, 1, 'openmpi'],
    ['PMI', { PMI_RANK: '5', PMI_SIZE: '8', MPI_LOCALRANKID: '1' }, 1, 'pmi'],
    ['a LeaderWorkerSet', workerSet, 4, 'leader-worker-set'],
    ['a StatefulSet', { ISOBAR_POD_INDEX: '1', ISOBAR_LOCAL_RANK: '1' }, 4, 'pod-index'],
    ['a StatefulSet of one rank a pod', { ISOBAR_POD_INDEX: '5' }, 1, 'pod-index'],
  ])('is told by %s', (_, environment, ranksPerPod, source) => {
    const discovery = discover(environment, { ranksPerPod });
    expect(rankOf(discovery)).toBe(5);
    expect(discovery).toMatchObject({ found: { source }, problems: [] });
  });

  it('follows from the place among the ranks that the topology has on this machine', () => {
    const environment = { ISOBAR_LOCAL_RANK: '1' };
    const discovery = discover(environment, { node: 'node-1' });
    expect(rankOf(discovery)).toBe(5);
    expect(discovery).toMatchObject({ found: { source: 'topology', localRank: 1, numRanks: 8 } });
    const elsewhere = discover(environment, { node: 'node-9' });
    expect(() => rankOf(elsewhere)).toThrow(
      expect.objectContaining({
        code: code('SOURCE'),
        message: 'ISOBAR_LOCAL_RANK is "1", and the topology has 0 ranks on a node node-9',
      }),
    );
  });

  it('is the one said outright, before all others, which are told of as warnings', () => {
    const environment = { ...torchrun, ISOBAR_RANK: '3', SLURM_PROCID: '2' };
    const byArgument = discover(environment, { argument: 7 });
    expect(rankOf(byArgument)).toBe(7);
    expect(byArgument.tellings.map(({ source, rank }) => [source, rank])).toEqual([
      ['--rank', 7],
      ['ISOBAR_RANK', 3],
      ['torchrun', 5],
      ['slurm', 2],
    ]);
    expect(byArgument.problems).toHaveLength(3);
    expect(rankOf(discover(environment))).toBe(3);
    expect(rankOf(discover({ ...torchrun, RANK: 'x' }, { argument: 7 }))).toBe(7);
  });

  it('said outright has its place from the first source that agrees on it', () => {
    expect(localRankIn(discover(torchrun, { argument: 5 }))).toBe(1);
    expect(localRankIn(discover({ PMI_RANK: '5', ...torchrun, ISOBAR_RANK: '5' }))).toBe(1);
    expect(localRankIn(discover(torchrun, { argument: 4 }))).toBeNull();
    expect(localRankIn(discover({}, { argument: 5 }))).toBeNull();
    expect(localRankIn(discover({}))).toBeNull();
  });

  it('agreed on by several is the first one’s', () => {
    const discovery = discover({ ...slurm, ...torchrun });
    expect(discovery).toMatchObject({ found: { source: 'torchrun' }, problems: [] });
    expect(discovery.tellings).toHaveLength(2);
  });

  it('that two sources tell differently is refused by both their names', () => {
    const discovery = discover({ ...torchrun, ...slurm, SLURM_PROCID: '1', SLURM_NTASKS: '' });
    expect(() => rankOf(discovery)).toThrow(
      expect.objectContaining({
        code: code('CONTRADICTED'),
        message:
          'torchrun (RANK=5, WORLD_SIZE=8, LOCAL_RANK=1, GROUP_RANK=1) says rank 5, slurm (SLURM_PROCID=1, SLURM_LOCALID=1, SLURM_NODEID=1) says rank 1: say which by --rank or ISOBAR_RANK, or correct one',
        fields: { field: 'rank', sources: ['torchrun', 'slurm'] },
      }),
    );
  });

  it.each<[string, Environment, number, string]>([
    [
      'number of ranks',
      { ...torchrun, WORLD_SIZE: '16' },
      1,
      'WORLD_SIZE=16, LOCAL_RANK=1, GROUP_RANK=1) says 16 ranks, topology says 8',
    ],
    ['number of ranks', { ...slurm, SLURM_NTASKS: '7' }, 1, ') says 7 ranks, topology says 8'],
    [
      'number of ranks',
      { ...workerSet, LWS_GROUP_SIZE: '3' },
      4,
      ') says 12 ranks, topology says 8',
    ],
    [
      'machine',
      { ...slurm, SLURM_NODEID: '0' },
      1,
      'says rank 5 on the machine of index 0, topology says on that of index 1',
    ],
    [
      'place on its machine',
      { ...torchrun, LOCAL_RANK: '3' },
      1,
      'says rank 5 at place 3 of its machine, topology says at place 1',
    ],
  ])(
    'whose source and the topology differ in the %s is refused',
    (_, environment, ranksPerPod, text) => {
      const discovery = discover(environment, { ranksPerPod });
      expect(() => rankOf(discovery)).toThrow(
        expect.objectContaining({
          code: code('CONTRADICTED'),
          message: expect.stringContaining(text),
        }),
      );
      expect(rankOf(discover(environment, { ranksPerPod, argument: 5 }))).toBe(5);
    },
  );

  it.each<[Environment, number, string, string]>([
    [{ RANK: 'five' }, 1, 'RANK', 'RANK is "five", not a number up to 65536'],
    [{ RANK: '-1' }, 1, 'RANK', 'RANK is "-1"'],
    [{ RANK: '9', WORLD_SIZE: '8' }, 1, 'RANK', 'RANK is 9, and WORLD_SIZE is 8'],
    [{ SLURM_PROCID: '1', SLURM_NTASKS: '2(x2)' }, 1, 'SLURM_NTASKS', 'SLURM_NTASKS is "2(x2)"'],
    [{ ISOBAR_RANK: ' 1' }, 1, 'ISOBAR_RANK', 'ISOBAR_RANK is " 1"'],
    [
      { ISOBAR_POD_INDEX: '1' },
      4,
      'ISOBAR_LOCAL_RANK',
      'ISOBAR_LOCAL_RANK is missing, and agent.ranksPerPod is 4',
    ],
    [
      { ISOBAR_POD_INDEX: '1', ISOBAR_LOCAL_RANK: '4' },
      4,
      'ISOBAR_LOCAL_RANK',
      'ISOBAR_LOCAL_RANK is 4, and agent.ranksPerPod is 4',
    ],
    [
      { LWS_WORKER_INDEX: '2', LWS_GROUP_SIZE: '2' },
      1,
      'LWS_WORKER_INDEX',
      'LWS_WORKER_INDEX is 2, and LWS_GROUP_SIZE is 2',
    ],
  ])(
    'that %j should tell is refused by the variable',
    (environment, ranksPerPod, variable, text) => {
      expect(() => rankOf(discover(environment, { ranksPerPod, topology: null }))).toThrow(
        expect.objectContaining({
          code: code('SOURCE'),
          message: expect.stringContaining(text),
          fields: expect.objectContaining({ variable }),
        }),
      );
    },
  );

  it('that nobody tells is refused with the names of all who might', () => {
    expect(() => rankOf(discover({ PATH: '/bin', RANK: '' }))).toThrow(
      expect.objectContaining({
        code: code('MISSING'),
        message:
          'nothing says which rank this is: none of --rank, ISOBAR_RANK, RANK, SLURM_PROCID, OMPI_COMM_WORLD_RANK, PMI_RANK, LWS_WORKER_INDEX, ISOBAR_POD_INDEX, ISOBAR_LOCAL_RANK',
      }),
    );
  });

  it('is reported with who says so', () => {
    const origin = originOf(discover({ ...torchrun, ISOBAR_RANK: '5', PMI_RANK: '2' }));
    expect(rankOriginSchema.parse(origin)).toMatchObject({
      source: 'ISOBAR_RANK',
      tellings: [
        { source: 'ISOBAR_RANK', rank: 5, numRanks: null, localRank: null },
        { source: 'torchrun', rank: 5, numRanks: 8, localRank: 1 },
        { source: 'pmi', rank: 2 },
      ],
      warnings: [expect.stringContaining('pmi (PMI_RANK=2) says rank 2')],
    });
    expect(originOf(discover({}))).toBeNull();
  });
});

describe('a rank and a topology in a file of its own', () => {
  const of = (topology: string) =>
    loaded(`deployment: d\nnats: { servers: [a] }\ntopology: ${topology}\n`);

  it('are compared where the rank is not said outright', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'isobar-topology-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'topology.yaml');
    await writeFile(path, 'ranks: 4\nnodes: 1\n');
    const discovery = await discoverAgentRank(of(path), null, torchrun);
    expect(() => rankOf(discovery)).toThrow('says 8 ranks, topology says 4');
    expect(rankOf(await discoverAgentRank(of('/nowhere'), 3, torchrun))).toBe(3);
    await expect(discoverAgentRank(of('/nowhere'), null, torchrun)).rejects.toMatchObject({
      code: 'ISOBAR_TOPOLOGY_UNREADABLE',
    });
  });
});

it('a machine is the level named node, or the innermost', () => {
  const trays = parseTopology(
    `levels:
  - { name: tray, bandwidth: 900 GB/s, latency: 2 us, failureDomain: true, fastDomain: true }
  - { name: cluster, bandwidth: 400 Gb/s, latency: 5 us }
ranks:
  - { ranks: "0, 2", domains: { tray: a } }
  - { ranks: "1, 3", domains: { tray: b } }
`,
    'trays',
  );
  const discovery = discover({ ISOBAR_LOCAL_RANK: '1' }, { topology: trays, node: 'b' });
  expect(rankOf(discovery)).toBe(3);
});

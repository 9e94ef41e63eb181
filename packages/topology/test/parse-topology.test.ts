import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  formatTopology,
  parseTopology,
  readTopology,
  type Topology,
  TopologyError,
  uniformTopology,
} from '@isobar/topology';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refused } from './refused.js';

const levels = `levels:
  - { name: node, bandwidth: 450 GB/s, latency: 2 us, fastDomain: true }
  - { name: rack, bandwidth: 400 Gb/s, latency: 5 us, failureDomain: true }
`;
const long = `${levels}ranks:
  - ranks: 0-1
    domains: { node: a }
  - ranks: 2-3
    domains: { node: b }
`;

const ranksOf = (topology: Topology) =>
  Array.from({ length: topology.numRanks }, (_, rank) => ({
    domains: topology.levels.map((_level, level) => [
      topology.domainOf(level, rank),
      topology.domainName(level, rank),
    ]),
    rail: topology.rail(rank),
  }));

function expectSame(a: Topology, b: Topology): void {
  expect(a.levels).toEqual(b.levels);
  expect(ranksOf(a)).toEqual(ranksOf(b));
}

describe('parseTopology', () => {
  it('reads the short form', () => {
    const topology = parseTopology('ranks: 7\nnodes: 2\n', 'short.yaml');
    expectSame(topology, uniformTopology({ numRanks: 7, numNodes: 2 }));
    const told = parseTopology(
      'ranks: 2\nnodes: 2\nnodeBandwidth: 1 TB/s\nnodeLatency: 1e-6\nnetworkBandwidth: 100e9\nnetworkLatency: 3 µs',
      'short.yaml',
    );
    expect(told.levels).toMatchObject([
      { bandwidthBytesPerSecond: 1e12, latencySeconds: 1e-6 },
      { bandwidthBytesPerSecond: 100e9, latencySeconds: 3e-6 },
    ]);
  });

  it('reads the long form, its outermost level unnamed', () => {
    const topology = parseTopology(long, 'long.yaml');
    expect(topology.levels).toEqual([
      {
        name: 'node',
        bandwidthBytesPerSecond: 450e9,
        latencySeconds: 2e-6,
        fastDomain: true,
        failureDomain: false,
      },
      {
        name: 'rack',
        bandwidthBytesPerSecond: 50e9,
        latencySeconds: 5e-6,
        fastDomain: false,
        failureDomain: true,
      },
    ]);
    expect([0, 1, 2, 3].map((rank) => topology.domainName('node', rank))).toEqual([
      'a',
      'a',
      'b',
      'b',
    ]);
    expect(topology.domainName('rack', 3)).toBe('rack');
  });

  it('reads ranks out of order, in pieces, and their rails', () => {
    const topology = parseTopology(
      `${levels}ranks:
  - { ranks: "1, 4-5", domains: { node: 7, rack: r }, rails: [x, y, z] }
  - { ranks: 0, domains: { node: b, rack: r }, rail: w }
  - { ranks: 2-3, domains: { node: c, rack: r } }
`,
      'pieces.yaml',
    );
    const ranks = [0, 1, 2, 3, 4, 5];
    expect(ranks.map((rank) => topology.domainName('node', rank))).toEqual([
      'b',
      '7',
      'c',
      'c',
      '7',
      '7',
    ]);
    expect(ranks.map((rank) => topology.rail(rank))).toEqual([
      'w',
      'x',
      undefined,
      undefined,
      'y',
      'z',
    ]);
  });

  it('follows aliases', () => {
    const text = long.replace('{ name: rack, bandwidth: 400 Gb/s', '{ name: rack, bandwidth: *b');
    const topology = parseTopology(text.replace('450 GB/s', '&b 450 GB/s'), 'alias.yaml');
    expect(topology.levels[1]?.bandwidthBytesPerSecond).toBe(450e9);
  });

  it.each([
    ['1 B/s', 1],
    ['1.5 MB/s', 1.5e6],
    ['2 KiB/s', 2048],
    ['8 b/s', 1],
    ['100Gb/s', 12.5e9],
    ['1e3 GB/s', 1e12],
    ['5', 5],
  ])('reads the bandwidth %s', (written, bytesPerSecond) => {
    const topology = parseTopology(long.replace('400 Gb/s', written), 'rates.yaml');
    expect(topology.levels[1]?.bandwidthBytesPerSecond).toBe(bytesPerSecond);
  });

  it.each([
    ['1 s', 1],
    ['1.5 ms', 1.5e-3],
    ['700 ns', 700e-9],
    ['0', 0],
  ])('reads the latency %s', (written, seconds) => {
    const topology = parseTopology(long.replace('5 us', written), 'times.yaml');
    expect(topology.levels[1]?.latencySeconds).toBe(seconds);
  });

  it.each<[string, string, number, number, string]>([
    ['an unknown key', `${long}rails: 3\n`, 9, 8, 'rails'],
    ['an unknown key of a level', long.replace('latency: 5', 'delay: 5'), 3, 47, 'levels[1].delay'],
    ['a bandwidth of 0', long.replace('400 Gb/s', '0 Gb/s'), 3, 30, 'levels[1].bandwidth'],
    ['a negative bandwidth', long.replace('400 Gb/s', '-1'), 3, 30, 'levels[1].bandwidth'],
    ['an unknown unit', long.replace('400 Gb/s', '400 Gbps'), 3, 30, 'levels[1].bandwidth'],
    ['a bandwidth without end', long.replace('400 Gb/s', '.inf'), 3, 30, 'levels[1].bandwidth'],
    ['an unknown time', long.replace('5 us', '5 constructor'), 3, 49, 'levels[1].latency'],
    ['a negative latency', long.replace('5 us', '-5'), 3, 49, 'levels[1].latency'],
    ['a mark that is no boolean', long.replace('true }', 'yes }'), 2, 67, 'levels[0].fastDomain'],
    ['no mark', long.replace(', fastDomain: true', ''), 2, 3, 'levels'],
    [
      'a mark twice',
      long.replace('failureDomain: true', 'failureDomain: true, fastDomain: true'),
      3,
      88,
      'levels[1].fastDomain',
    ],
    ['a level twice', long.replace('name: rack', 'name: node'), 3, 13, 'levels[1].name'],
    ['a missing name', long.replace('name: rack, ', ''), 3, 5, 'levels[1]'],
    ['no levels', long.replace(/levels:\n.*\n.*\n/, 'levels: []\n'), 1, 9, 'levels'],
    ['levels that are no list', long.replace(/levels:\n.*\n.*\n/, 'levels: 3\n'), 1, 9, 'levels'],
    ['a level that is no map', long.replace(/- \{ name: node.*\}/, '- node'), 2, 5, 'levels[0]'],
    ['missing ranks', levels, 1, 1, ''],
    ['no ranks', `${levels}ranks: []\n`, 4, 8, 'ranks'],
    ['a rank twice', long.replace('2-3', '1-3'), 7, 5, 'ranks[1]'],
    ['a gap', long.replace('2-3', '3-4'), 5, 3, 'ranks'],
    ['ranks past the limit', long.replace('2-3', '2-4096'), 7, 12, 'ranks[1].ranks'],
    ['ranks past any limit', long.replace('2-3', '2-999999999'), 7, 12, 'ranks[1].ranks'],
    ['ranks the wrong way', long.replace('2-3', '3-2'), 7, 12, 'ranks[1].ranks'],
    ['a negative rank', long.replace('2-3', '-2'), 7, 12, 'ranks[1].ranks'],
    ['an unknown level', long.replace('{ node: b }', '{ pod: b }'), 8, 21, 'ranks[1].domains.pod'],
    ['a missing domain', long.replace('{ node: b }', '{ rack: b }'), 7, 5, 'ranks[1]'],
    [
      'a domain that is no name',
      long.replace('node: b', 'node: [b]'),
      8,
      22,
      'ranks[1].domains.node',
    ],
    ['too few rails', `${long}    rails: [x]\n`, 9, 12, 'ranks[1].rails'],
    ['rail beside rails', `${long}    rails: [x, y]\n    rail: z\n`, 9, 12, 'ranks[1].rails'],
    ['an alias to nothing', 'ranks: 8\nnodes: *nowhere\n', 2, 8, 'nodes'],
    ['an empty text', '', 1, 1, ''],
    ['a list', '- 1', 1, 1, ''],
    ['the short form without nodes', 'ranks: 8\n', 1, 1, ''],
    ['more nodes than ranks', 'ranks: 8\nnodes: 9\n', 2, 8, 'nodes'],
    ['too many ranks', 'ranks: 4097\nnodes: 9\n', 1, 8, 'ranks'],
    ['a half rank', 'ranks: 8.5\nnodes: 2\n', 1, 8, 'ranks'],
  ])('refuses %s', (_, text, line, column, field) => {
    const error = refused(() => parseTopology(text, 'here.yaml'));
    expect(error.code).toBe('ISOBAR_TOPOLOGY_INVALID');
    expect(error.fields).toMatchObject({ source: 'here.yaml', line, column, field });
    expect(error.message).toContain(`here.yaml:${line}:${column}: ${field}`);
  });

  it('refuses a domain that is in two outer ones, naming where', () => {
    const text = `${levels}  - { name: zone, bandwidth: 1, latency: 1 }
ranks:
  - { ranks: 0, domains: { node: a, rack: r } }
  - { ranks: 1, domains: { node: a, rack: q } }
`;
    const error = refused(() => parseTopology(text, 'here.yaml'));
    expect(error.fields).toMatchObject({ line: 7, column: 5, field: 'ranks[1]', rank: 1 });
    expect(error.message).toContain('node a is in rack r and in q');
  });

  it('refuses ranks that share no domain', () => {
    const text = long.replace('{ node: a }', '{ node: a, rack: r }');
    const error = refused(() =>
      parseTopology(text.replace('{ node: b }', '{ node: b, rack: q }'), 'here.yaml'),
    );
    expect(error.fields).toMatchObject({ line: 7, field: 'ranks[1]', rank: 2 });
  });

  it.each([
    ['a bracket left open', 'ranks: [1', 1],
    ['a key twice', 'ranks: 8\nranks: 9\nnodes: 1\n', 2],
    ['an unknown tag', 'ranks: !rank 8\nnodes: 1\n', 1],
    ['two documents', 'ranks: 8\nnodes: 1\n---\nranks: 9\n', 3],
  ])('refuses as no YAML: %s', (_, text, line) => {
    const error = refused(() => parseTopology(text, 'here.yaml'));
    expect(error.code).toBe('ISOBAR_TOPOLOGY_SYNTAX');
    expect(error.fields).toMatchObject({ source: 'here.yaml', line });
  });

  it('refuses what is meant to exhaust it', () => {
    const deep = '['.repeat(500_000);
    const aliases = `a: &a 1\nb: [${'*a,'.repeat(1001)}]`;
    for (const text of [deep, aliases, ' '.repeat(2 ** 20 + 1)]) {
      expect(refused(() => parseTopology(text, 'here.yaml')).code).toBe('ISOBAR_TOPOLOGY_SYNTAX');
    }
    const bomb = `a: &a [x, x]\nlevels: &b [*a, *a, *a]\nranks: [*b, *b, *b]\n`;
    expect(refused(() => parseTopology(bomb, 'here.yaml')).fields.field).toBe('a');
    const self = 'levels: &a [*a]\nranks: []\n';
    expect(refused(() => parseTopology(self, 'here.yaml')).code).toBe('ISOBAR_TOPOLOGY_INVALID');
  });

  it('refuses any text with a coded error or reads it', () => {
    const piece = fc.constantFrom(
      ...['levels', 'ranks', 'nodes', ': ', '\n', '  ', '- ', '{', '}', '[', ']', ', ', '8', '0-3'],
      ...[
        '&a ',
        '*a',
        '"',
        "'",
        '!t ',
        'name',
        '450 GB/s',
        '#',
        '|',
        '?',
        '%YAML 9\n',
        '---',
        '\0',
      ],
    );
    const texts = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(parseTopology(text, 'any').numRanks).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(TopologyError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('formatTopology', () => {
  it.each([
    ['the short form', 'ranks: 7\nnodes: 2\n'],
    ['the long form', long],
    [
      'scattered ranks and rails, and names that look like other things',
      `levels:
  - { name: node, bandwidth: 1e9, latency: 1 ns, fastDomain: true, failureDomain: true }
  - { name: "true", bandwidth: 3, latency: 0.1 }
ranks:
  - { ranks: "5, 0-1", domains: { node: "1", "true": "null" }, rails: ["1", x, "a: b"] }
  - { ranks: 2, domains: { node: "1", "true": "null" } }
  - { ranks: 3-4, domains: { node: " - ", "true": "null" }, rail: y }
`,
    ],
  ])('writes what parseTopology reads back: %s', (_, text) => {
    const topology = parseTopology(text, 'before');
    expectSame(parseTopology(formatTopology(topology), 'after'), topology);
  });
});

describe('readTopology', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-topology-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('reads a file, and names it where it is wrong', async () => {
    const path = join(folder, 'cluster.yaml');
    await writeFile(path, long);
    expectSame(await readTopology(path), parseTopology(long, ''));
    await writeFile(path, 'ranks: 0\nnodes: 1\n');
    await expect(readTopology(path)).rejects.toThrow(`${path}:1:8: ranks`);
    await writeFile(path, '#'.repeat(2 ** 23));
    await expect(readTopology(path)).rejects.toMatchObject({ code: 'ISOBAR_TOPOLOGY_SYNTAX' });
  });

  it('says what it could not read', async () => {
    const path = join(folder, 'missing.yaml');
    await expect(readTopology(path)).rejects.toMatchObject({
      code: 'ISOBAR_TOPOLOGY_UNREADABLE',
      fields: { source: path },
      cause: { code: 'ENOENT' },
    });
    await expect(readTopology(folder)).rejects.toMatchObject({
      code: 'ISOBAR_TOPOLOGY_UNREADABLE',
    });
  });

  it('reads the examples of the README', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const examples = [...readme.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) =>
      parseTopology(text ?? '', 'README.md'),
    );
    expect(examples.map(({ numRanks, numFastDomains }) => [numRanks, numFastDomains])).toEqual([
      [8, 2],
      [12, 3],
      [16, 2],
    ]);
    const [short] = examples;
    expect(short?.levels).toEqual(uniformTopology({ numRanks: 8, numNodes: 2 }).levels);
  });
});

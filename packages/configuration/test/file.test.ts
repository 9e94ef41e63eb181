import { formatProblem, invalidConfiguration, options, problemsMax } from '@isobar/configuration';
import { Topology } from '@isobar/topology';
import { describe, expect, it } from 'vitest';
import { fileWith, loaded, path, problemsOf } from './test-file.js';

describe('a configuration file', () => {
  it('needs no more than deployment, topology and servers', () => {
    const { configuration, origins } = loaded(fileWith());
    expect(configuration).toMatchObject({
      deployment: 'prod',
      topology: '/etc/isobar/topology.yaml',
      nats: { servers: ['nats://a:4222'], context: null },
      coordinator: { mode: 'observe', leaseMs: 15_000, perTokenSeconds: null },
      agent: { stateDirectory: '/var/lib/isobar' },
      log: { level: 'info' },
    });
    expect(origins.get('nats.servers')).toEqual({ kind: 'file', line: 4, column: 12 });
    expect(origins.get('coordinator.leaseMs')).toEqual({ kind: 'default' });
  });

  it('tells of everything that is missing', () => {
    const missing = problemsOf('{}').map(({ field }) => field);
    expect(missing).toEqual(['deployment', 'topology', 'nats.servers']);
    expect(problemsOf('{}')[0]?.what).toContain('ISOBAR_DEPLOYMENT');
  });

  it('takes numbers in the unit of the name, and texts with their own unit', () => {
    const { coordinator } = loaded(
      fileWith(
        'coordinator: { leaseMs: 20s, passMs: 250, planIntervalMs: 1.5m, bandwidthBytesPerSecond: 400 Gb/s, perTokenSeconds: 12us }',
      ),
    ).configuration;
    expect(coordinator).toMatchObject({
      leaseMs: 20_000,
      passMs: 250,
      planIntervalMs: 90_000,
      bandwidthBytesPerSecond: 50e9,
      perTokenSeconds: 12e-6,
    });
  });

  it('tells every problem at once, with line, column, option and what was expected', () => {
    const text = fileWith(
      'coordinator:\n  leasMs: 20s\n  passMs: soon\n  policy: fast\nlog:\n  level: 3\ntopologie: x\n',
    );
    expect(problemsOf(text).map(formatProblem)).toEqual([
      `${path}:6:3: coordinator.leasMs: is no option; did you mean leaseMs?`,
      `${path}:7:11: coordinator.passMs: must be a duration from 50ms to 10m: milliseconds, or such as "15s" or "250ms"`,
      `${path}:8:11: coordinator.policy: must be one of locality-aware, default`,
      `${path}:10:10: log.level: must be one of trace, debug, info, warn, error, fatal, silent`,
      `${path}:11:1: topologie: is no option; did you mean topology?`,
    ]);
  });

  it('says where an option belongs that stands in the wrong place', () => {
    const [problem] = problemsOf(fileWith('leaseMs: 20s\n'));
    expect(problem?.what).toBe('is no option; did you mean coordinator.leaseMs?');
  });

  it.each([
    ['leaseMs: 0.3', 'coordinator.leaseMs'],
    ['leaseMs: 11m', 'coordinator.leaseMs'],
    ['leaseMs: null', 'coordinator.leaseMs'],
    ['leaseMs: [1]', 'coordinator.leaseMs'],
    ['leaseMs: {a: 1}', 'coordinator.leaseMs'],
    ['interference: 1.1', 'coordinator.interference'],
    ['balancednessMax: 0', 'coordinator.balancednessMax'],
    ['bandwidthBytesPerSecond: .inf', 'coordinator.bandwidthBytesPerSecond'],
    ['bandwidthBytesPerSecond: .nan', 'coordinator.bandwidthBytesPerSecond'],
    ['passesMin: "2"', 'coordinator.passesMin'],
    ['holder: a/b', 'coordinator.holder'],
  ])('refuses %s', (text, field) => {
    expect(problemsOf(fileWith(`coordinator: { ${text} }\n`))).toMatchObject([{ field, line: 5 }]);
  });

  it('holds options against each other', () => {
    const lease = 'leaseMs: 3s, renewDeadlineMs: 3s, renewMs: 1s, retryMs: 1s';
    const [problem] = problemsOf(fileWith(`coordinator: { ${lease} }\n`));
    expect(problem).toMatchObject({ field: 'coordinator.renewDeadlineMs', line: 5 });
    expect(problem?.what).toContain('less than coordinator.leaseMs');
    const late = 'leaseMs: 3s, renewDeadlineMs: 2s, retryMs: 400';
    expect(problemsOf(fileWith(`coordinator: { ${late}, renewMs: 1601 }`))).toMatchObject([
      { field: 'coordinator.renewMs' },
    ]);
    expect(problemsOf(fileWith(`coordinator: { ${late}, renewMs: 1600 }`))).toEqual([]);
    expect(problemsOf(fileWith('coordinator: { windowPasses: 4, passesMin: 5 }'))).toMatchObject([
      { field: 'coordinator.passesMin' },
    ]);
  });

  it('takes a topology that is written within it, and tells its flaws by its own lines', () => {
    const text = 'deployment: d\nnats: { servers: [a] }\ntopology:\n  # two nodes\n  ranks: 4\n';
    const { topology } = loaded(`${text}  nodes: 2\nlog: { level: warn }\n`).configuration;
    expect(topology).toBeInstanceOf(Topology);
    expect(topology).toMatchObject({ numRanks: 4 });
    expect(problemsOf(`${text}  nodes: 9\nlog:\n`)).toMatchObject([
      { field: 'topology.nodes', line: 6, column: 10, what: 'must be an integer from 1 to 4' },
    ]);
    const flow = 'deployment: d\nnats: { servers: [a] }\ntopology: { ranks: 4,\n  nods: 2 }\n';
    expect(problemsOf(flow)).toMatchObject([{ field: 'topology.nods', line: 4 }]);
  });

  it('has no place for secrets', () => {
    const text = 'deployment: d\ntopology: t\nnats: { servers: ["nats://me:secret@a:4222"] }\n';
    const [problem, ...others] = problemsOf(text);
    expect(others).toEqual([]);
    expect(problem).toMatchObject({ field: 'nats.servers' });
    expect(JSON.stringify(problem)).not.toContain('secret');
  });

  it.each([
    ['a: [', 'is no YAML'],
    ['deployment: d\ndeployment: e\n', 'is no YAML'],
    ['- a\n', 'must be a map'],
    ['', 'is empty'],
    ['deployment: !!js d', 'is no YAML'],
    [`a: ${'['.repeat(20_000)}`, 'is'],
    ['x'.repeat(2 ** 20 + 1), 'is longer than'],
  ])('refuses %.20s', (text, what) => {
    expect(problemsOf(text)[0]?.what).toContain(what);
  });

  it('checks the engine’s address as far as it is known', () => {
    const of = (engine: string) => problemsOf(fileWith(`agent: { engine: "${engine}" }`)).length;
    expect(of('tcp://127.0.0.1:71{localRank}0')).toBe(0);
    expect(of('unix:/run/{rank}.sock')).toBe(0);
    for (const wrong of ['/run/x', 'tcp://h', 'unix:/run/{node}', 'tcp://h:99999', 'unix:']) {
      expect(of(wrong), wrong).toBe(1);
    }
  });

  it('is refused with no more problems than one can read', () => {
    const many = Array.from({ length: 80 }, (_, index) => `zzzzzz${index}: 1`).join('\n');
    const error = invalidConfiguration(path, problemsOf(fileWith(`${many}\n`)));
    expect(error.fields.problems).toHaveLength(problemsMax);
    expect(error.message).toContain(`and ${80 - problemsMax} more`);
  });
});

describe('the table of options', () => {
  it('has defaults within their own bounds, and names and variables that are one option’s', () => {
    for (const { schema, default: byDefault, name } of options) {
      if (byDefault !== undefined) expect(schema.safeParse(byDefault).success, name).toBe(true);
    }
    expect(new Set(options.map(({ variable }) => variable)).size).toBe(options.length);
  });
});

import {
  agentArguments,
  agentPlace,
  contextOf,
  coordinatorArguments,
  coordinatorListen,
} from '@isobar/configuration';
import { describe, expect, it } from 'vitest';
import { loaded } from './test-file.js';

const start = 'deployment: d\nnats: { servers: [a], context: "auth/{process}/context.json" }\n';
const of = (topology: string, engine: string, listen = 'null') =>
  loaded(
    `${start}topology: ${topology}\nagent: { engine: "${engine}", stateDirectory: "s/{rank}" }\nhttp: { listen: ${listen} }`,
  );

describe('the place of an agent', () => {
  it('is filled in by its rank, and its rank within its node', async () => {
    const configuration = of('{ ranks: 8, nodes: 2 }', 'tcp://h:71{localRank}{rank}');
    expect(await agentPlace(configuration, 6)).toEqual({
      engine: 'tcp://h:7126',
      stateDirectory: '/etc/isobar/s/6',
      httpListen: null,
    });
    expect(contextOf(configuration, 'agent-6')).toBe('/etc/isobar/auth/agent-6/context.json');
  });

  it('has a port of its own among the agents of its node; a coordinator is no rank', async () => {
    const configuration = of('{ ranks: 8, nodes: 2 }', 'unix:/e', '"0.0.0.0:948{localRank}"');
    expect(await agentPlace(configuration, 6)).toMatchObject({
      httpListen: { host: '0.0.0.0', port: 9_482 },
    });
    expect(coordinatorListen(configuration)).toEqual({ host: '0.0.0.0', port: 9_480 });
    expect(coordinatorListen(of('/nowhere', 'unix:/e'))).toBeNull();
  });

  it('has no port that its rank makes too large', async () => {
    const configuration = of('{ ranks: 16, nodes: 2 }', 'unix:/e', '"0.0.0.0:6553{rank}"');
    expect(await agentPlace(configuration, 5)).toMatchObject({ httpListen: { port: 65_535 } });
    await expect(agentPlace(configuration, 6)).rejects.toMatchObject({
      code: 'ISOBAR_CONFIGURATION_LISTEN',
      fields: { field: 'http.listen', rank: 6 },
    });
  });

  it('is none for a rank that the topology lacks', async () => {
    await expect(agentPlace(of('{ ranks: 8, nodes: 2 }', 'unix:/e'), 8)).rejects.toMatchObject({
      code: 'ISOBAR_CONFIGURATION_RANK',
    });
  });

  it('needs the topology’s file only for ranks within nodes', async () => {
    expect(await agentPlace(of('/nowhere', 'unix:/e{rank}'), 3)).toMatchObject({
      engine: 'unix:/e3',
    });
    await expect(agentPlace(of('/nowhere', 'unix:/e{localRank}'), 3)).rejects.toMatchObject({
      code: 'ISOBAR_TOPOLOGY_UNREADABLE',
    });
  });
});

describe('arguments of services', () => {
  it('are a file, and of an agent its rank', () => {
    expect(coordinatorArguments(['--config', 'a.yaml'])).toEqual({ file: 'a.yaml' });
    const args = ['--config', 'a.yaml'];
    expect(agentArguments(args)).toEqual({ file: 'a.yaml', rank: null });
    expect(agentArguments([...args, '--rank', '8'])).toEqual({ file: 'a.yaml', rank: 8 });
  });

  it.each([
    [[], '--config is missing'],
    [['--config', 'a', '--rank', 'x'], 'the rank is x'],
    [['--config', 'a', '--rank', '70000'], 'the rank is 70000'],
    [['a.json'], 'usage'],
  ])('refuse %j', (args, text) => {
    const code = 'ISOBAR_CONFIGURATION_USAGE';
    expect(() => agentArguments(args)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
  });
});

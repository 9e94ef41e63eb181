import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LiveConfiguration } from '@isobar/configuration';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileWith } from './test-file.js';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-configuration-'));
  file = join(folder, 'isobar.yaml');
});

afterEach(() => rm(folder, { recursive: true }));

async function start(): Promise<LiveConfiguration> {
  await writeFile(file, fileWith());
  return LiveConfiguration.load(file, { ISOBAR_COORDINATOR_HOLDER: 'a' }, 'agent');
}

const anything = () => undefined;

describe('a configuration that is read again', () => {
  it('applies what can change, and tells what can’t, again and again', async () => {
    const live = await start();
    await writeFile(file, fileWith('coordinator: { passMs: 2s, leaseMs: 20s }\n'));
    const changes = await live.reload(anything);
    expect(changes).toEqual({
      applicable: [{ name: 'coordinator.passMs', from: 1_000, to: 2_000 }],
      needingRestart: [{ name: 'coordinator.leaseMs', from: 15_000, to: 20_000 }],
    });
    const { coordinator } = live.current.configuration;
    expect(coordinator).toMatchObject({ passMs: 2_000, leaseMs: 15_000, holder: 'a' });
    expect(await live.reload(anything)).toEqual({
      applicable: [],
      needingRestart: changes.needingRestart,
    });
  });

  it('takes nothing of a bad file', async () => {
    const live = await start();
    const before = live.current;
    await writeFile(file, fileWith('coordinator: { passMs: 2s, leaseMs: soon }\n'));
    await expect(live.reload(anything)).rejects.toMatchObject({
      code: 'ISOBAR_CONFIGURATION_INVALID',
      fields: { problems: [{ field: 'coordinator.leaseMs', line: 5 }] },
    });
    await rm(file);
    await expect(live.reload(anything)).rejects.toMatchObject({
      code: 'ISOBAR_CONFIGURATION_UNREADABLE',
    });
    expect(live.current).toBe(before);
  });

  it('takes nothing that the process can’t have', async () => {
    const live = await start();
    const before = live.current;
    await writeFile(file, fileWith('coordinator: { passMs: 2s }\n'));
    const refused = live.reload(() => {
      throw new Error('not that');
    });
    await expect(refused).rejects.toThrow('not that');
    expect(live.current).toBe(before);
  });

  it('does not tell a process of what concerns others', async () => {
    const live = await start();
    await writeFile(file, fileWith('agent: { reportIntervalMs: 2s, engine: "unix:/x" }\n'));
    expect(await live.reload(anything)).toEqual({ applicable: [], needingRestart: [] });
  });
});

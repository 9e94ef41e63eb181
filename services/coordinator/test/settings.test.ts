import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSettings, timingsOf } from '../src/settings.js';

const required = { deployment: 'd', servers: ['nats://127.0.0.1:4222'], topology: 't.yaml' };
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-settings-'));
});

afterAll(() => rm(directory, { recursive: true }));

async function read(given: Readonly<Record<string, unknown>>) {
  const path = join(directory, 'settings.json');
  await writeFile(path, JSON.stringify({ ...required, ...given }));
  return readSettings(path);
}

describe('settings', () => {
  it('have the lease that the design names where nothing is said', async () => {
    expect(timingsOf(await read({})).lease).toEqual({
      leaseMs: 15_000,
      renewDeadlineMs: 10_000,
      renewMs: 5_000,
      retryMs: 2_000,
    });
  });

  it('are refused where a leader would still lead when another may', async () => {
    await expect(read({ leaseMs: 3_000, renewDeadlineMs: 3_000 })).rejects.toMatchObject({
      code: 'ISOBAR_COORDINATOR_SETTINGS',
      fields: { field: 'renewDeadlineMs' },
    });
  });

  it('are refused where one renewal that fails would end a leadership', async () => {
    const lease = { leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 400 };
    await expect(read({ ...lease, renewMs: 1_601 })).rejects.toMatchObject({
      fields: { field: 'renewMs' },
    });
    await expect(read({ ...lease, renewMs: 1_600 })).resolves.toMatchObject(lease);
  });

  it('name the field that is wrong', async () => {
    await expect(read({ retryMs: 'often' })).rejects.toMatchObject({
      fields: { field: 'retryMs' },
    });
    await expect(read({ slowPhaseMs: 1 })).rejects.toMatchObject({
      code: 'ISOBAR_COORDINATOR_SETTINGS',
    });
  });
});

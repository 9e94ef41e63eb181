import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checkpoint } from '@isobar/reference-engine';
import { readTrace } from '@isobar/trace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareModel } from '../src/prepare-model.js';
import { readSettings } from '../src/settings.js';

let folder = '';
let path = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-settings-'));
  path = join(folder, 'engine.json');
  const settings = {
    deployment: 'demo',
    numRanks: 8,
    listen: 'unix:/run/isobar/engine-{rank}.sock',
    peerDirectory: folder,
    checkpointDirectory: join(folder, 'checkpoint'),
    resultsDirectory: folder,
    trace: join(folder, 'trace.jsonl'),
    numPhysicalExperts: 40,
    activation: 'two-table',
    spareBuffers: 8,
    reserveBuffers: 2,
    meanLayerMillis: 6,
    loadIntervalMs: 250,
    stagingBytesPerSecond: 1e8,
    faults: {},
  };
  await writeFile(path, JSON.stringify(settings));
});
afterEach(() => rm(folder, { recursive: true }));

describe('settings that engines share', () => {
  it('are those of the rank that is told', async () => {
    expect(await readSettings(path, '3')).toMatchObject({
      rank: 3,
      listen: 'unix:/run/isobar/engine-3.sock',
    });
    expect(await readSettings(path)).toMatchObject({ rank: 0 });
  });

  it.each(['8', '-1', '1.5', 'three', ''])('are for no rank %s', async (rank) => {
    await expect(readSettings(path, rank)).rejects.toMatchObject({
      code: 'ISOBAR_ENGINE_SETTINGS',
      fields: { field: 'rank' },
    });
  });
});

describe('a model', () => {
  it('is drawn once, with traffic that fits it', async () => {
    const settings = await readSettings(path);
    await prepareModel(settings);
    const checkpoint = await Checkpoint.open(settings.checkpointDirectory);
    const { header } = await readTrace(settings.trace);
    expect(checkpoint).toMatchObject({
      numLayers: header.numLayers,
      numExperts: header.numExperts,
    });
    await checkpoint.close();
    const manifest = () => readFile(join(settings.checkpointDirectory, 'manifest.json'), 'utf8');
    const drawn = await manifest();
    await prepareModel(settings);
    expect(await manifest()).toBe(drawn);
    expect((await readdir(folder)).sort()).toEqual(['checkpoint', 'engine.json', 'trace.jsonl']);
  });

  it('that could not be drawn whole is not there', async () => {
    const settings = await readSettings(path);
    const trace = join(folder, 'nowhere', 'trace.jsonl');
    await expect(prepareModel({ ...settings, trace })).rejects.toThrow('ENOENT');
    await mkdir(join(folder, 'nowhere'));
    await prepareModel({ ...settings, trace });
    expect((await readTrace(trace)).numSteps).toBeGreaterThan(0);
  });
});

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  discoverGpus,
  gpuOf,
  namedDomains,
  nodeName,
  placeWithoutGpu,
} from '@isobar/configuration';
import { placeSchema } from '@isobar/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

describe('the machine of a rank', () => {
  it('is named outright, or by Slurm, or is the host', () => {
    expect(nodeName({ ISOBAR_NODE_NAME: 'a', SLURMD_NODENAME: 'b' })).toBe('a');
    expect(nodeName({ ISOBAR_NODE_NAME: '', SLURMD_NODENAME: 'b' })).toBe('b');
    expect(nodeName({})).toBe(hostname());
  });

  it('has domains by levels; one whose label is missing is not told', () => {
    expect(namedDomains({ ISOBAR_PLACE: 'zone=eu-1a, rack=r7,block=' })).toEqual({
      zone: 'eu-1a',
      rack: 'r7',
    });
    expect(namedDomains({})).toEqual({});
  });

  it.each(['rack', 'rack=a=b', '=a', 'rack=a,rack=b', 'a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1', ','])(
    'is refused where its domains are %s',
    (text) => {
      const place = () => placeWithoutGpu({ ISOBAR_PLACE: text }, null);
      expect(place).toThrow(expect.objectContaining({ code: 'ISOBAR_CONFIGURATION_PLACE' }));
    },
  );

  it('is told with the place among its ranks', () => {
    const environment = { ISOBAR_NODE_NAME: 'a', ISOBAR_LOCAL_RANK: '2', ISOBAR_PLACE: 'rack=r' };
    const place = { node: 'a', localRank: 2, domains: { rack: 'r' }, gpu: null };
    expect(placeSchema.parse(placeWithoutGpu(environment, null))).toEqual(place);
    expect(placeWithoutGpu(environment, 1)).toMatchObject({ localRank: 1 });
  });
});

describe('the GPU of a rank', () => {
  const gpus = [0, 1, 2].map((index) => {
    return { index, uuid: `GPU-${index}abc`, name: 'H100', nvlinkDomain: null };
  });
  it.each([
    [{}, 1, 1],
    [{}, null, undefined],
    [{}, 3, undefined],
    [{ CUDA_VISIBLE_DEVICES: '2' }, null, 2],
    [{ CUDA_VISIBLE_DEVICES: '2,0' }, 1, 0],
    [{ CUDA_VISIBLE_DEVICES: 'GPU-1a' }, null, 1],
    [{ CUDA_VISIBLE_DEVICES: '7' }, null, undefined],
  ])('is found of those that it sees: %j, place %j', (environment, localRank, index) => {
    expect(gpuOf(gpus, environment, localRank)?.index).toBe(index);
  });
});

describe('nvidia-smi', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'isobar-smi-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** A shell script in place of the driver's tool, whose first argument is the query. */
  async function install(script: string): Promise<{ PATH: string }> {
    const path = join(folder, 'nvidia-smi');
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return { PATH: `${folder}:${process.env.PATH}` };
  }

  it('is not needed', async () => {
    expect(await discoverGpus({ PATH: folder }, 'a')).toEqual({ gpus: [], notes: [] });
  });

  it('tells GPUs and links; fields that an older driver lacks are noted', async () => {
    const environment = await install(`case "$1" in
  --query-gpu=index*) echo "0, GPU-0, NVIDIA H100"; echo "1, GPU-1, NVIDIA H100" ;;
  topo) printf '\\tGPU0\\tGPU1\\tCPU Affinity\\nGPU0\\t X \\tNV18\\t0-55\\nGPU1\\tNV18\\t X \\t0-55\\n' ;;
  *) echo 'Field "fabric.clusterUuid" is not a valid field to query.'; exit 2 ;;
esac`);
    const { gpus, notes } = await discoverGpus(environment, 'a');
    expect(gpus.map(({ uuid, nvlinkDomain }) => [uuid, nvlinkDomain])).toEqual([
      ['GPU-0', 'a/0'],
      ['GPU-1', 'a/0'],
    ]);
    expect(notes).toEqual([
      expect.stringMatching(/fabric.* failed: Field "fabric.clusterUuid" is not a valid field/),
    ]);
  });

  it('that says nothing in time is ended', async () => {
    const environment = await install('exec tail -f /dev/null');
    const { gpus, notes } = await discoverGpus(environment, 'a', 100);
    expect(gpus).toEqual([]);
    expect(notes).toHaveLength(3);
    expect(notes[0]).toMatch(/has not answered within 100 ms$/);
  });

  it.each([
    ['what can’t be read', 'echo "x, y, z"', /line 1 has no index/],
    ['more than is read', 'tail -c 300000 /dev/zero', /has said more than 262144 bytes/],
    [
      'that the driver is not loaded',
      'echo "NVIDIA-SMI has failed"; exit 9',
      /NVIDIA-SMI has failed/,
    ],
  ])('that says %s is noted', async (_, script, text) => {
    const { gpus, notes } = await discoverGpus(await install(script), 'a');
    expect(gpus).toEqual([]);
    expect(notes.join('\n')).toMatch(text);
  });
});

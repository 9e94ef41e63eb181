import { readFileSync } from 'node:fs';
import { gpusOf, parseFabrics, parseGpus, parseNvlinkGroups } from '@isobar/topology';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refused } from './refused.js';

/** In the format in which the drivers of such machines print it. */
const printed = (name: string) =>
  readFileSync(new URL(`nvidia-smi/${name}`, import.meta.url), 'utf8');
const code = 'ISOBAR_TOPOLOGY_NVIDIA_SMI';

describe('the matrix of nvidia-smi topo -m', () => {
  it.each([
    ['topo-hgx-h100.txt', [0, 0, 0, 0, 0, 0, 0, 0]],
    ['topo-hgx-b200-one-gpu-without-links.txt', [0, 0, null, 0, 0, 0, 0, 0]],
    ['topo-gb200.txt', [0, 0, 0, 0]],
    ['topo-rtx-4090.txt', [null, null, null, null, null, null, null, null]],
    ['topo-a100-pcie-bridged.txt', [0, 0, 2, 2]],
    ['topo-one-gpu.txt', [null]],
  ])('of %s tells which GPUs NVLink joins', (name, groups) => {
    expect(parseNvlinkGroups(printed(name))).toEqual(groups);
    // Pasted into terminals and issues it has blanks for tabs.
    expect(parseNvlinkGroups(printed(name).replaceAll('\t', '     '))).toEqual(groups);
  });

  it.each([
    ['', 1],
    ['No devices were found\n', 1],
    ['\tGPU0\tGPU1\nGPU0\t X \tNV18\n', 3],
    ['\tGPU0\tGPU1\nGPU0\t X \tNV18\nGPU1\tNV18\n', 3],
    [`\t${Array.from({ length: 129 }, (_, gpu) => `GPU${gpu}`).join('\t')}\n`, 1],
  ])('is refused by its line where it is none: %j', (text, line) => {
    expect(refused(() => parseNvlinkGroups(text))).toMatchObject({ code, fields: { line } });
  });
});

describe('queries of nvidia-smi', () => {
  it('tell the GPUs of a machine', () => {
    const [first, second, ...others] = parseGpus(printed('gpus-hgx-h100.csv'));
    expect(first).toEqual({
      index: 0,
      uuid: 'GPU-1182579c-5a69-8e8e-cb7a-e6e0b65d4700',
      name: 'NVIDIA H100 80GB HBM3',
    });
    expect(second).toMatchObject({ index: 1 });
    expect(others).toHaveLength(6);
  });

  it('tell the multi-node NVLink domain of those that have joined one', () => {
    const joined = parseFabrics(printed('fabric-gb200.csv'));
    expect([...new Set(joined.values())]).toEqual(['9c6f5af3-53bf-49b5-a436-b66766c413c3.4026']);
    expect(joined.size).toBe(4);
    expect(parseFabrics(printed('fabric-hgx-h100.csv')).size).toBe(0);
    expect(parseFabrics(printed('fabric-not-started.csv')).size).toBe(0);
  });

  it.each(['0', '0, GPU-1', 'x, GPU-1, H100', '0, 1182579c, H100'])(
    'are refused by their line: %s',
    (row) => {
      const text = `0, GPU-0, NVIDIA H100\n${row}\n`;
      expect(refused(() => parseGpus(text))).toMatchObject({ code, fields: { line: 2 } });
    },
  );

  it('refuse whatever else with that code', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        for (const read of [parseGpus, parseFabrics, parseNvlinkGroups]) {
          try {
            read(text);
          } catch (error) {
            expect(error).toMatchObject({ code });
          }
        }
      }),
    );
  });
});

describe('GPUs of a machine', () => {
  const domains = (answers: Parameters<typeof gpusOf>[0]) => [
    ...new Set(gpusOf(answers, 'host').map(({ nvlinkDomain }) => nvlinkDomain)),
  ];

  it('share the NVLink domain of several machines, or one within theirs', () => {
    const gb200 = { gpus: printed('gpus-gb200.csv'), links: printed('topo-gb200.txt') };
    expect(domains({ ...gb200, fabrics: printed('fabric-gb200.csv') })).toEqual([
      '9c6f5af3-53bf-49b5-a436-b66766c413c3.4026',
    ]);
    expect(domains({ ...gb200, fabrics: null })).toEqual(['host/0']);
  });

  it('have none where there is no NVLink, or none was told', () => {
    const gpus = printed('gpus-hgx-h100.csv');
    expect(domains({ gpus, fabrics: null, links: null })).toEqual([null]);
    expect(domains({ gpus, fabrics: null, links: printed('topo-rtx-4090.txt') })).toEqual([null]);
  });

  it('that have lost their links are alone', () => {
    const links = printed('topo-hgx-b200-one-gpu-without-links.txt');
    const answers = { gpus: printed('gpus-hgx-h100.csv'), fabrics: null, links };
    expect(domains(answers)).toEqual(['host/0', 'host/2']);
  });
});

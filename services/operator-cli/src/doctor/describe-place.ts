import type { RankPlace } from '@isobar/protocol';

/** Machine, domains and GPU of a place, in a line. */
export function describePlace({ node, localRank, domains, gpu }: RankPlace): string {
  const named = Object.entries(domains).map(([level, name]) => `${level} ${name}`);
  const local = localRank === null ? [] : [`place ${localRank}`];
  return [`machine ${node}`, ...local, ...named, describeGpu(gpu)].join(', ');
}

function describeGpu(gpu: RankPlace['gpu']): string {
  if (gpu === null) return 'GPU unknown';
  const { index, name, uuid, nvlinkDomain } = gpu;
  const nvlink = nvlinkDomain === null ? 'no NVLink' : `NVLink domain ${nvlinkDomain}`;
  return `GPU ${index} (${name}, ${uuid}), ${nvlink}`;
}

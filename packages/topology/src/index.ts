export { comparePlaces, type PlaceContradiction } from './compare-places.js';
export { formatTopology } from './format-topology.js';
export {
  fabricQuery,
  gpuQuery,
  gpusOf,
  linkQuery,
  type NvidiaSmiAnswers,
  parseFabrics,
  parseGpus,
  parseNvlinkGroups,
} from './nvidia-smi.js';
export { parseTopology } from './parse-topology.js';
export { type Gpu, nodeLevelOf, type Place, ranksOfDomain } from './place.js';
export { readBoundedText } from './read-bounded-text.js';
export { readTopology } from './read-topology.js';
export { Topology } from './topology.js';
export { TopologyError } from './topology-error.js';
export { topologyOfPlaces } from './topology-of-places.js';
export type { TopologyLevel, TopologySpec } from './topology-spec.js';
export { type UniformTopologyOptions, uniformTopology } from './uniform-topology.js';

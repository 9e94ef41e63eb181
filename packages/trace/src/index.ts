export { type GeneratorOptions, generateTrace } from './generate-trace.js';
export { MEASURED } from './generator-figures.js';
export type { LoadMatrix } from './load-matrix.js';
export { createRandom, type Random } from './random.js';
export { readLoads } from './read-loads.js';
export { readTrace } from './read-trace.js';
export {
  type ExpertLocation,
  type ExpertLocationSource,
  fromSglangExpertLocation,
  toSglangExpertLocation,
} from './sglang-expert-location.js';
export type { Trace, TraceHeader } from './trace.js';
export { TraceError } from './trace-error.js';
export { writeTrace } from './write-trace.js';

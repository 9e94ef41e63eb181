export { balancedness, imbalance } from './balancedness.js';
export { EplbError } from './eplb-error.js';
export {
  ExpertMapping,
  type ExpertMappingSpec,
  type ExpertMove,
  type MappingDelta,
  uniformSlotOffsets,
} from './expert-mapping.js';
export { ExpertType } from './expert-type.js';

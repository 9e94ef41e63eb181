export { Checkpoint, weightDigest, writeCheckpoint } from './checkpoint.js';
export {
  type Comparison,
  compareRunsWithOracle,
  compareWithOracle,
  stepsMissing,
} from './comparison.js';
export type { Faults } from './faults.js';
export { bytesPerExpert, type ModelShape } from './model-shape.js';
export {
  type RankResults,
  readResults,
  type StepResult,
  type SwapResult,
} from './results-file.js';
export { type EngineSettings, engineSettingsSchema } from './settings.js';

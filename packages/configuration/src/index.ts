export {
  type AgentPlace,
  agentPlace,
  contextOf,
  coordinatorListen,
  localRankOf,
} from './agent-place.js';
export {
  type ConfigurationChanges,
  changesBetween,
  type OptionChange,
  type OtherGroup,
  textOf,
  withoutRestarts,
} from './changes-between.js';
export { type Environment, otherVariables } from './environment-values.js';
export { LiveConfiguration, type ReloadOptions, reloadOnHangUp } from './live-configuration.js';
export {
  type CheckedConfiguration,
  checkConfiguration,
  type LoadedConfiguration,
  loadConfiguration,
  type Origin,
  readText,
} from './load-configuration.js';
export type { AtRunTime, Option } from './option.js';
export {
  type Configuration,
  configurationOf,
  findOption,
  type NamedOption,
  type OptionGroup,
  optionGroups,
  options,
  type Values,
  variableOf,
} from './options.js';
export {
  checkParameters,
  describeOrigin,
  type EffectiveConfiguration,
  type UnusableParameter,
  withParameters,
} from './parameters.js';
export { formatProblem, invalidConfiguration, type Problem, problemsMax } from './problem.js';
export { agentArguments, coordinatorArguments } from './service-arguments.js';

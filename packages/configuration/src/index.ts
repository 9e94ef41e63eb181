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
export {
  discoverGpus,
  type GpuDiscovery,
  gpuOf,
  placeWithoutGpu,
} from './discover-place.js';
export {
  discoverAgentRank,
  discoverRank,
  localRankIn,
  originOf,
  type RankDiscovery,
  rankOf,
} from './discover-rank.js';
export { type Environment, otherVariables } from './environment-values.js';
export type { ListenAddress } from './listen-address.js';
export { LiveConfiguration, type ReloadOptions, reloadOnHangUp } from './live-configuration.js';
export {
  type CheckedConfiguration,
  checkConfiguration,
  type LoadedConfiguration,
  loadConfiguration,
  type Origin,
  readText,
} from './load-configuration.js';
export { namedDomains, nodeName } from './named-place.js';
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
export type { RankCircumstances, RankSource, SourcedRank } from './rank-source.js';
export { rankArgument, rankSources } from './rank-sources.js';
export { agentArguments, coordinatorArguments } from './service-arguments.js';

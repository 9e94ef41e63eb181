export {
  AbstractEplbPolicy,
  type ClusterShape,
  largestRankLoads,
  type RebalanceReport,
  type RebalanceRequest,
  type RebalanceResult,
  type TrafficUnit,
} from './abstract-eplb-policy.js';
export {
  AsyncExpertRebalancer,
  type AsyncExpertRebalancerOptions,
  type NetBenefit,
  type RebalanceDecision,
  type RebalanceEconomy,
} from './async-expert-rebalancer.js';
export { balancedness, imbalance } from './balancedness.js';
export { DefaultEplbPolicy } from './default-eplb-policy.js';
export {
  crossNodeFraction,
  crossNodeTraffic,
  dispatchRankLoads,
} from './dispatch/dispatch-metrics.js';
export { type DispatchTable, uniformDispatch } from './dispatch/dispatch-table.js';
export { type DispatchRequest, planDispatch } from './dispatch/plan-dispatch.js';
export { EplbError } from './eplb-error.js';
export { EplbMetrics } from './eplb-metrics.js';
export {
  type BalancerStats,
  ExpertLoadBalancer,
  type ExpertLoadBalancerOptions,
  type RebalanceOptions,
} from './expert-load-balancer.js';
export {
  ExpertMapping,
  type ExpertMappingSpec,
  type ExpertMove,
  type MappingDelta,
  uniformSlotOffsets,
} from './expert-mapping.js';
export { ExpertType } from './expert-type.js';
export {
  improveLocality,
  type LocalityRequest,
  type LocalityResult,
} from './locality/improve-locality.js';
export type { RouteSample } from './locality/route-sample.js';
export { type LocalityAwareOptions, LocalityAwarePolicy } from './locality-aware-policy.js';
export { createPolicy, type PolicyName } from './planner-messages.js';
export { planWaves, type WaveLimits } from './rebalance-waves.js';
export { type ExpertTransfer, planTransfers } from './transfer-plan.js';

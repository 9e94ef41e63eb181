export {
  AbstractEplbPolicy,
  type ClusterShape,
  type RebalanceReport,
  type RebalanceRequest,
  type RebalanceResult,
  type ReplicaChoice,
  type TrafficUnit,
} from './abstract-eplb-policy.js';
export {
  AsyncExpertRebalancer,
  type AsyncExpertRebalancerOptions,
  type RebalanceConditions,
  type RebalanceDecision,
} from './async-expert-rebalancer.js';
export { balancedness, imbalance, loadShares, numServingRanks } from './balancedness.js';
export { DefaultEplbPolicy } from './default-eplb-policy.js';
export {
  crossNodeFraction,
  crossNodeTraffic,
  dispatchRankLoads,
} from './dispatch/dispatch-metrics.js';
export { type DispatchTable, uniformDispatch } from './dispatch/dispatch-table.js';
export { type DispatchRequest, planDispatch } from './dispatch/plan-dispatch.js';
export type { SlopeEstimate } from './economy/common-slope.js';
export {
  type Interference,
  InterferenceMeter,
  type InterferenceMeterOptions,
} from './economy/interference-meter.js';
export {
  layerBenefits,
  type MoveEconomy,
  moveEconomy,
  type NetBenefit,
  netBenefit,
  type RebalanceEconomy,
} from './economy/move-economy.js';
export {
  configuredStepTimes,
  type LayerStepTime,
  type StepTimeBasis,
  StepTimeModel,
  type StepTimeModelOptions,
} from './economy/step-time-model.js';
export { EplbError } from './eplb-error.js';
export { EplbMetrics } from './eplb-metrics.js';
export type { NoPlace } from './evacuation/place-missing.js';
export {
  type EvacuationPlan,
  type EvacuationRequest,
  type EvacuationWave,
  planEvacuation,
} from './evacuation/plan-evacuation.js';
export {
  type RevalidatedMapping,
  type Room,
  revalidateMapping,
} from './evacuation/revalidate-mapping.js';
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
export { type ForecastSummary, summarizeForecast } from './forecast/forecast-summary.js';
export {
  type LayerForecast,
  type LoadForecast,
  LoadForecaster,
  type LoadForecasterOptions,
} from './forecast/load-forecaster.js';
export {
  improveLocality,
  type LocalityRequest,
  type LocalityResult,
} from './locality/improve-locality.js';
export type { RouteSample } from './locality/route-sample.js';
export { RouteWindow, sourceLoadsOfRoutes } from './locality/route-window.js';
export { LocalityAwarePolicy, moveCostDefault } from './locality-aware-policy.js';
export { type BoundOptions, largestRankLoadBound } from './placement/lower-bound.js';
export { createPolicy, type PolicyName } from './planner-messages.js';
export { keepSlots } from './transfer/keep-slots.js';
export { planWaves, type WaveLimits } from './transfer/rebalance-waves.js';
export {
  type ExpertTransfer,
  planTransfers,
  type TransferOptions,
  type TransferTopology,
} from './transfer/transfer-plan.js';
export type { WaveRoom } from './transfer/wave-room.js';
export { closedSlots, type SlotLimits, usableSlotsOf } from './usable-slots.js';

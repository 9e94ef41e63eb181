export { AuditTrail, type AuditTrailOptions } from './audit-trail.js';
export {
  type CommandEndpointsOptions,
  type CommandEvent,
  type CommandHandlers,
  commandEndpoints,
} from './command-endpoints.js';
export { Coordinator, type CoordinatorOptions } from './coordinator.js';
export { coordinatorMetricTable } from './probes.js';
export { RankMessages, type RankMessagesOptions } from './rank-messages.js';
export { RankPlaces, type RankPlacesOptions } from './rank-places.js';
export { RefusalAlarm, type RefusalAlarmOptions } from './refusal-alarm.js';
export type { CoordinatorSettings } from './settings.js';

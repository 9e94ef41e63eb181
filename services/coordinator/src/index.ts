export { AuditTrail, type AuditTrailOptions } from './audit-trail.js';
export { Coordinator, type CoordinatorOptions } from './coordinator.js';
export {
  controlAnswerSchema,
  type EconomySummary,
  type MappingAnswer,
  mappingAnswerSchema,
  type PlanSummary,
  planSummarySchema,
  type RankStatus,
  type RebalanceEntry,
  type StatusAnswer,
  statusAnswerSchema,
} from './operator-messages.js';
export { type CoordinatorSettings, coordinatorSettingsSchema } from './settings.js';

export { AuditTrail, type AuditTrailOptions } from './audit-trail.js';
export { audited, type CommandEvent, type DeploymentEndpoint } from './command-audit.js';
export { Coordinator, type CoordinatorOptions } from './coordinator.js';
export {
  type ControlAnswer,
  controlAnswerSchema,
  type EconomySummary,
  type MappingAnswer,
  mappingAnswerSchema,
  type PlanSummary,
  planSummarySchema,
  type RankStatus,
  type RebalanceEntry,
  rollbackAnswerSchema,
  type StatusAnswer,
  statusAnswerSchema,
} from './operator-messages.js';
export { RankMessages, type RankMessagesOptions } from './rank-messages.js';
export { type CoordinatorSettings, coordinatorSettingsSchema } from './settings.js';

export { type Change, changeSchema } from './change.js';
export { decode, decodeValue, encode, schemaVersion, validate } from './codec.js';
export {
  type AuditEvent,
  auditEventSchema,
  type ExplainAnswer,
  eventsAskedMax,
  type HistoryAnswer,
  votesSchema,
} from './commands/audit.js';
export { type BodyKind, bodyKindOf, encodeBody, readQuestion } from './commands/command-body.js';
export type { CommandAccess, CommandDefinition } from './commands/command-definition.js';
export {
  type AskedBy,
  askedBySchema,
  type CommandIdentity,
  type CommandOutcome,
  type CommandRequest,
  commandRequestSchema,
  describeAsker,
  requestIdSchema,
} from './commands/command-request.js';
export { commandSchemas } from './commands/command-schema.js';
export {
  type ChangeCommandName,
  type CommandAnswer,
  type CommandInput,
  type CommandName,
  type CommandQuestion,
  commandNames,
  commands,
  commonChangeRefusals,
  commonRefusals,
  type ReadCommandName,
} from './commands/commands.js';
export type {
  ChangeAnswer,
  CommandEffect,
  ControlAnswer,
} from './commands/envelope.js';
export {
  type ImportedMapping,
  importedMappingSchema,
  type MappingAnswer,
} from './commands/mapping.js';
export type { ParametersAnswer } from './commands/parameters.js';
export {
  type EconomySummary,
  gainSchema,
  type PlanSummary,
  planSummarySchema,
  type RebalanceEntry,
} from './commands/plan.js';
export { type RankStatus, type StatusAnswer, statusAnswerSchema } from './commands/status.js';
export {
  type ControlRecord,
  controlRecordSchema,
  type Mode,
  modeSchema,
  requestsMax,
} from './control-record.js';
export { type ControlChange, changeControl, forgetDeaths } from './coordinator/control-change.js';
export { initialCoordinator, stepCoordinator } from './coordinator/coordinator.js';
export type {
  CoordinatorAlarm,
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorOptions,
  CoordinatorResult,
  CoordinatorRole,
  CoordinatorState,
  CoordinatorTimings,
  CreateRecordResult,
  Operation,
  OperationCommand,
} from './coordinator/coordinator-types.js';
export { oldestKept, type RecordOutcome } from './coordinator/kept-records.js';
export {
  knownRequest,
  notLeading,
  type OperationPreview,
  previewOperation,
} from './coordinator/operation-checks.js';
export type { StoredControl } from './coordinator/stored-records.js';
export { type DecidedVersion, readDecidedVersion } from './decided-version.js';
export {
  type Activation,
  activationSchema,
  type EngineDescription,
  type EngineState,
  engineDescriptionSchema,
  engineStateSchema,
  type OpenVote,
  openVoteSchema,
  type Standing,
  standingSchema,
} from './engine-description.js';
export { type Fence, fenceSchema, isFenced, sameFence } from './fence.js';
export { type ErrorFields, IsobarError } from './isobar-error.js';
export {
  contradicts,
  decodeKnownOutcome,
  type KnownOutcome,
  knownOutcomeSchema,
  knownOutcomesSchema,
  newestOutcomes,
} from './known-outcome.js';
export { isAwaited } from './leader/is-awaited.js';
export {
  type Activity,
  type BackOff,
  initialLeader,
  type LeaderAlarm,
  type LeaderEffect,
  type LeaderEvent,
  type LeaderOptions,
  type LeaderRequest,
  type LeaderResult,
  type LeaderState,
  type LeaderTimings,
  type NewestOutcome,
  type RequestOutcome,
  type ShunnedEngine,
  stepLeader,
} from './leader/leader.js';
export { roomForWaves } from './leader/leader-step.js';
export { previewEmptying, previewLimit, ranksBeingCleared } from './leader/preview-emptying.js';
export { type LeaderRecord, leaderRecordSchema } from './leader-record.js';
export { heldFence, initialLease, stepLease } from './lease/lease.js';
export type {
  LeaseEffect,
  LeaseEvent,
  LeaseOptions,
  LeasePhase,
  LeaseResult,
  LeaseState,
  LeaseTimings,
  StoredBytes,
  WriteResult,
} from './lease/lease-types.js';
export {
  type CommittedRecord,
  decodeMapRecord,
  encodeMapRecord,
  type MapRecord,
  mappingFromWhole,
  mappingOfRecord,
  mapRecordSchema,
  type VoidRecord,
  type WholeMapping,
  wholeMapping,
  wholeMappingSchema,
} from './map-record.js';
export {
  includesMember,
  type Member,
  memberSchema,
  membersSchema,
  membersWithout,
  sameMember,
  unionOfMembers,
} from './member.js';
export {
  deadOf,
  type Evidence,
  isProvenDead,
  type LostMember,
  livingOf,
  type ProvenDeath,
  type Witness,
} from './membership/evidence.js';
export { firstWave } from './membership/membership.js';
export {
  assertOffered,
  closedSlotsOf,
  offeredSlots,
  offeredSlotsOf,
  usableSlots,
} from './membership/offered-slots.js';
export type { DescribedEngine } from './membership/situation.js';
export { largestMessageBytes, roomForWave } from './message-size.js';
export {
  type Cut,
  cutSchema,
  type LeaveAnswer,
  type LeaveQuestion,
  type LoadSample,
  leaveAnswerSchema,
  leaveQuestionSchema,
  loadSampleSchema,
  type OutcomeMessage,
  type OutcomesAnswer,
  type OutcomesQuestion,
  outcomeMessageSchema,
  outcomesAnswerSchema,
  outcomesQuestionSchema,
  type Prepare,
  prepareSchema,
  type Query,
  querySchema,
  type RankAnswer,
  type RankReport,
  type RefusedOrder,
  type Retire,
  rankAnswerSchema,
  rankReportSchema,
  retireSchema,
  type SwapState,
  swapStateSchema,
  type Vote,
  voteSchema,
} from './messages.js';
export {
  changedParameters,
  type ParameterChanges,
  type Parameters,
  type ParameterValue,
  parameterChangesSchema,
  parametersMax,
  parametersSchema,
} from './parameters.js';
export {
  accountOf,
  clusterAccount,
  commandServiceName,
  eventsApiPrefix,
  operatorsAccount,
  type Permissions,
  permissionsOf,
  personSchema,
  type Role,
  roleName,
  type SharedService,
  type SharedSubjects,
  sharedSubjectsOf,
} from './permissions.js';
export {
  placeSchema,
  type RankOrigin,
  type RankPlace,
  type RankTelling,
  rankOriginSchema,
  rankTellingSchema,
} from './place.js';
export {
  applyProposal,
  decodeProposal,
  decodeTransfers,
  encodeProposal,
  encodeTransfers,
  type Proposal,
  proposalSchema,
  type Transfer,
} from './proposal.js';
export { type RankTable, withRank } from './rank-table.js';
export { kindOfSubject } from './refusals/kind-of-subject.js';
export {
  adviceOn,
  type MessageKind,
  messageBytesMax,
  messageKinds,
  type RefusalCount,
  RefusalCounter,
  type RefusalReason,
  refusalCountSchema,
  refusalCountsSchema,
  refusalReasonOf,
} from './refusals/refusal-counts.js';
export {
  RefusalEpisodes,
  type RefusalEpisodesOptions,
  type RefusalTelling,
} from './refusals/refusal-episodes.js';
export { type Requester, readRequester, requesterHeader } from './requester.js';
export { firstLeaderAheadMax, leaderAheadMax, runawayAheadMax } from './runaway.js';
export {
  bytesSchema,
  countsSchema,
  deploymentSchema,
  digestSchema,
  incarnationSchema,
  int32ArraySchema,
  limits,
  rankSchema,
  reasonSchema,
  schemaField,
  stepSchema,
  versionSchema,
} from './schemas.js';
export { softwareVersion } from './software-version.js';
export {
  assertRankOfSubject,
  controlRecordKey,
  eventStreamName,
  type LeaderVerb,
  leaderRecordKey,
  mapRecordKey,
  type OrderVerb,
  orderVerbs,
  rankOfSubject,
  recordsBucket,
  type Subjects,
  type SwapVerb,
  senderOfSubject,
  subjectsOf,
  voteOfSubject,
} from './subjects.js';
export { ranksMissing, stepCoordinatorSwap } from './swap/coordinator-swap.js';
export {
  type Addressees,
  type CoordinatorSwapEffect,
  type CoordinatorSwapEvent,
  type CoordinatorSwapResult,
  type CoordinatorSwapStart,
  type CoordinatorSwapState,
  initialCoordinatorSwap,
  type SwapTimings,
  swapStateOf,
} from './swap/coordinator-swap-state.js';
export {
  adoptBase,
  applyOutcome,
  applyPeerOutcome,
  type OutcomeAction,
  type OutcomeTaken,
} from './swap/engine-outcomes.js';
export {
  abandonStaging,
  admitProposal,
  cutsMax,
  type EngineHoldings,
  type EngineSwapState,
  engineStateOf,
  initialEngineSwap,
  isCut,
  raiseFence,
  recordActivated,
  recordCut,
  recordRetired,
  recordSwitch,
  recordVote,
} from './swap/engine-swap.js';
export type { OpenPhase, OpenSwap, Wave } from './swap/open-swap.js';
export type { EngineCommand, StageCommand } from './swap/rank-commands.js';
export {
  type CastVote,
  type DurableRankState,
  durableRankStateSchema,
  emptyDurableRankState,
  type WitnessedEngine,
  type WitnessedProcess,
  witnessedProcessSchema,
} from './swap/rank-durable.js';
export {
  type ConnectedEngine,
  initialRankSwap,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapResult,
  type RankSwapState,
  type StagingUnderWay,
} from './swap/rank-state.js';
export { reportOf } from './swap/rank-steps.js';
export { stepRankSwap } from './swap/rank-swap.js';
export {
  type Ground,
  initialTakeover,
  membersUnheard,
  type PendingRecord,
  type RetainedMapping,
  ranksUnheard,
  stepTakeover,
  type TakeoverAlarm,
  type TakeoverEffect,
  type TakeoverEvent,
  type TakeoverOptions,
  type TakeoverResult,
  type TakeoverState,
  takeoverAnswer,
  type UnheardMember,
} from './swap/takeover.js';
export { sameVersion, type VersionInForce, versionInForceSchema } from './version-in-force.js';

export { type Change, changeSchema } from './change.js';
export { decode, encode, schemaVersion, validate } from './codec.js';
export {
  type CommandAccess,
  type CommandName,
  commandAccess,
  commandNames,
} from './command-access.js';
export {
  type ControlRecord,
  controlRecordSchema,
  type Mode,
  modeSchema,
} from './control-record.js';
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
export { type KnownOutcome, knownOutcomeSchema, knownOutcomesSchema } from './known-outcome.js';
export { type LeaderRecord, leaderRecordSchema } from './leader-record.js';
export {
  type CommittedRecord,
  decodeMapRecord,
  encodeMapRecord,
  type MapRecord,
  mappingFromWhole,
  mappingOfRecord,
  type VoidRecord,
  type WholeMapping,
  wholeMapping,
  wholeMappingSchema,
} from './map-record.js';
export { type Member, memberSchema, membersSchema } from './member.js';
export {
  type Cut,
  cutSchema,
  type LoadSample,
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
  accountOf,
  clusterAccount,
  commandServiceName,
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
  applyProposal,
  decodeProposal,
  decodeTransfers,
  encodeProposal,
  encodeTransfers,
  type Proposal,
  type Transfer,
} from './proposal.js';
export { type Requester, readRequester, requesterHeader } from './requester.js';
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
export {
  assertRankOfSubject,
  controlRecordKey,
  type LeaderVerb,
  leaderRecordKey,
  mapRecordKey,
  rankOfSubject,
  recordsBucket,
  type Subjects,
  type SwapVerb,
  subjectsOf,
  voteOfSubject,
} from './subjects.js';
export {
  type CoordinatorSwapEffect,
  type CoordinatorSwapEvent,
  type CoordinatorSwapResult,
  type CoordinatorSwapStart,
  type CoordinatorSwapState,
  initialCoordinatorSwap,
  type OpenPhase,
  type OpenSwap,
  ranksMissing,
  type SwapTimings,
  stepCoordinatorSwap,
  swapStateOf,
  type Wave,
} from './swap/coordinator-swap.js';
export {
  abandonStaging,
  admitProposal,
  applyOutcome,
  type EngineSwapState,
  initialEngineSwap,
  raiseFence,
  recordActivated,
  recordRetired,
  recordSwitch,
  recordVote,
} from './swap/engine-swap.js';
export {
  type CastVote,
  type DurableRankState,
  type EngineCommand,
  emptyDurableRankState,
  initialRankSwap,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapResult,
  type RankSwapState,
  reportOf,
  stepRankSwap,
} from './swap/rank-swap.js';
export {
  type DecidedVersion,
  type Ground,
  initialTakeover,
  stepTakeover,
  type TakeoverEffect,
  type TakeoverEvent,
  type TakeoverResult,
  type TakeoverState,
} from './swap/takeover.js';

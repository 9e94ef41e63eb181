export { Actor, type ActorOptions } from './actor.js';
export {
  awaitBus,
  type Bus,
  type BusHandler,
  type BusMessage,
  type BusOptions,
  type BusStatus,
  type BusSubscription,
  connectBus,
} from './bus.js';
export type {
  CommandAnswer,
  CommandEndpoint,
  CommandService,
  CommandServiceOptions,
} from './command-service.js';
export type { EventRange, EventStream, EventStreamOptions, StoredEvent } from './event-stream.js';
export { Intake, type IntakeOptions, type RefusalLogger } from './intake.js';
export { type ConnectionFiles, NatsContext, readNatsContext } from './nats-context.js';
export { OversizeAlarm } from './oversize-alarm.js';
export type {
  CompareAndSetResult,
  CreateResult,
  Records,
  RecordsOptions,
  StoredRecord,
} from './records.js';
export { readSecretFile, readSmallFile, type SmallFile } from './secret-file.js';
export type { ServerDescription, StoreLimits, StreamDescription } from './server-description.js';
export { onTermination } from './termination.js';

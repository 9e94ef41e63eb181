import { z } from 'zod';
import { commandNames, commands } from './commands/commands.js';
import {
  controlRecordKey,
  eventStreamName,
  leaderRecordKey,
  orderVerbs,
  recordsBucket,
  subjectsOf,
} from './subjects.js';

/** Who connects to NATS for a deployment; each has credentials of its own. */
export type Role =
  | { readonly kind: 'agent'; readonly rank: number }
  | { readonly kind: 'coordinator'; readonly index: number }
  | { readonly kind: 'operator'; readonly person: string }
  | { readonly kind: 'viewer'; readonly person: string };

/** An operator's or a viewer's name: a token of a subject and a part of file names. */
export const personSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 letters, digits, _ or -');

/**
 * Where people ask JetStream for the deployment's events. Not at `$JS.API`, which in their account is
 * the server's own: that account keeps nothing.
 */
export function eventsApiPrefix(deployment: string): string {
  return `isobar.v1.${deployment}.jetstream`;
}

/** All that a role may do on NATS; whatever is not listed is refused by the server. */
export interface Permissions {
  /** Told, without an answer. */
  readonly publish: readonly string[];
  /** Asked; answers come to the role's inbox. */
  readonly request: readonly string[];
  /** Heard. */
  readonly subscribe: readonly string[];
  /** Heard and answered: each message may be answered once, to the inbox that it names. */
  readonly answer: readonly string[];
  /**
   * Where answers to this role's own questions come, and nobody else's: with a common prefix, each
   * would read what the others are told.
   */
  readonly inboxPrefix: string;
}

/** A service that the operators' account imports from the cluster's. */
export interface SharedService {
  /** In the cluster's account. */
  readonly subject: string;
  /** In the operators' account. */
  readonly importedAs: string;
  /** `many`: every process that serves may answer. */
  readonly answers: 'one' | 'many';
  /** The server itself writes the requester into the message. */
  readonly share: boolean;
}

/** What passes between the two accounts of a deployment; all else stays within each. */
export interface SharedSubjects {
  readonly services: readonly SharedService[];
  readonly streams: readonly string[];
}

/** Name of the role within its deployment: `agent-3`, `operator-alice`. */
export function roleName(role: Role): string {
  switch (role.kind) {
    case 'agent':
      return `agent-${role.rank}`;
    case 'coordinator':
      return `coordinator-${role.index}`;
    default:
      return `${role.kind}-${role.person}`;
  }
}

/** Account of agents and coordinators, which holds the records. */
export function clusterAccount(deployment: string): string {
  return `isobar.${deployment}.cluster`;
}

/** Account of operators and viewers: nothing of the cluster's is there but what is shared. */
export function operatorsAccount(deployment: string): string {
  return `isobar.${deployment}.operators`;
}

export function accountOf(deployment: string, role: Role): string {
  const inCluster = role.kind === 'agent' || role.kind === 'coordinator';
  return inCluster ? clusterAccount(deployment) : operatorsAccount(deployment);
}

/** Name of the deployment's micro service. */
export function commandServiceName(deployment: string): string {
  return `isobar-${deployment}`;
}

/** @throws IsobarError ISOBAR_PROTOCOL_DEPLOYMENT_NAME */
export function permissionsOf(deployment: string, role: Role): Permissions {
  const inboxPrefix = `_INBOX.isobar.${deployment}.${roleName(role)}`;
  switch (role.kind) {
    case 'agent':
      return { ...agentPermissions(deployment, role.rank), inboxPrefix };
    case 'coordinator':
      return { ...coordinatorPermissions(deployment), inboxPrefix };
    case 'operator':
      return { ...personPermissions(deployment, ['read', 'change']), inboxPrefix };
    case 'viewer':
      return { ...personPermissions(deployment, ['read']), inboxPrefix };
  }
}

type OwnPermissions = Omit<Permissions, 'inboxPrefix'>;

// Every verb is listed: a server takes a subscription to `swap.>` for one that `swap.*` allows.
const swapVerbs = ['prepare', 'outcome', 'retire', 'state', 'cut'] as const;
function ordersTo(deployment: string, rank: number | '*'): string[] {
  const subjects = subjectsOf(deployment);
  return [
    ...swapVerbs.map((verb) => subjects.swap(verb)),
    ...orderVerbs.map((verb) => subjects.order(rank, verb)),
  ];
}

function agentPermissions(deployment: string, rank: number): OwnPermissions {
  const subjects = subjectsOf(deployment);
  return {
    publish: [subjects.load(rank), subjects.report(rank), subjects.vote('*', rank)],
    request: [subjects.leader('outcomes'), subjects.leave(rank)],
    subscribe: ordersTo(deployment, rank),
    answer: [subjects.query(rank)],
  };
}

function coordinatorPermissions(deployment: string): OwnPermissions {
  const subjects = subjectsOf(deployment);
  return {
    publish: ordersTo(deployment, '*'),
    request: [subjects.query('*'), ...recordsApi(deployment), ...eventsApi(deployment)],
    subscribe: [subjects.load('*'), subjects.report('*'), subjects.vote('*', '*')],
    answer: [
      subjects.leader('outcomes'),
      subjects.leave('*'),
      ...commandNames.map((name) => `${subjects.commandPrefix}.${name}`),
      ...serviceDiscovery(deployment),
    ],
  };
}

/**
 * What reading and writing the records takes, as packages/bus does it: the bucket is looked up and
 * made, a record is read as the stream's last message of its subject, and written by publishing;
 * those of old versions are purged. Who may write could roll the stream up to one message anyway.
 * Nothing deletes or changes the stream, and nothing consumes it.
 */
function recordsApi(deployment: string): string[] {
  const bucket = recordsBucket(deployment);
  const stream = `KV_${bucket}`;
  return [
    '$JS.API.INFO',
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.STREAM.CREATE.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.STREAM.PURGE.${stream}`,
    `$KV.${bucket}.map.*`,
    `$KV.${bucket}.${leaderRecordKey}`,
    `$KV.${bucket}.${controlRecordKey}`,
  ];
}

/**
 * What keeping events takes: the stream is made, its limits are set, and each event is acknowledged; and
 * what the commands `history` and `explain` take, which read them.
 */
function eventsApi(deployment: string): string[] {
  const stream = eventStreamName(deployment);
  const verbs = ['INFO', 'CREATE', 'UPDATE', 'MSG.GET'];
  return [
    ...verbs.map((verb) => `$JS.API.STREAM.${verb}.${stream}`),
    subjectsOf(deployment).event('>'),
  ];
}

/**
 * What reading events takes: how many there are, and each by its number. No consumer: whoever may make
 * one can have the server send events to any subject of the cluster's account.
 */
function eventsReading(deployment: string, prefix: string): string[] {
  const stream = eventStreamName(deployment);
  return ['INFO', 'MSG.GET'].map((verb) => `${prefix}.STREAM.${verb}.${stream}`);
}

function personPermissions(deployment: string, access: readonly string[]): OwnPermissions {
  const subjects = subjectsOf(deployment);
  const permitted = commandNames.filter((name) => access.includes(commands[name].access));
  return {
    publish: [],
    request: [
      ...permitted.map((name) => `${subjects.commandPrefix}.${name}`),
      ...eventsReading(deployment, eventsApiPrefix(deployment)),
      ...serviceDiscovery(deployment),
    ],
    subscribe: [subjects.event('>')],
    answer: [],
  };
}

/** Subjects by which NATS clients find micro services and ask what they offer. */
function serviceDiscovery(deployment: string): string[] {
  const name = commandServiceName(deployment);
  return ['PING', 'INFO', 'STATS'].flatMap((verb) => [
    `$SRV.${verb}`,
    `$SRV.${verb}.${name}`,
    `$SRV.${verb}.${name}.*`,
  ]);
}

/** @throws IsobarError ISOBAR_PROTOCOL_DEPLOYMENT_NAME */
export function sharedSubjectsOf(deployment: string): SharedSubjects {
  const subjects = subjectsOf(deployment);
  const commandSubjects = commandNames.map((name) => `${subjects.commandPrefix}.${name}`);
  const imported = eventsReading(deployment, eventsApiPrefix(deployment));
  const reading = eventsReading(deployment, '$JS.API').map((subject, index) => ({
    subject,
    importedAs: imported[index] ?? subject,
  }));
  const unchanged = (subject: string) => ({ subject, importedAs: subject });
  return {
    services: [
      ...commandSubjects.map((subject) => ({
        ...unchanged(subject),
        answers: 'one' as const,
        share: true,
      })),
      ...reading.map((each) => ({ ...each, answers: 'one' as const, share: false })),
      ...serviceDiscovery(deployment).map((subject) => ({
        ...unchanged(subject),
        answers: 'many' as const,
        share: false,
      })),
    ],
    streams: [subjects.event('>')],
  };
}

import type { StatusAnswer } from '@isobar/protocol';
import { bytes, seconds } from '../table.js';
import { type Asked, type Check, fail, isForbidden, ok, skip, warn } from './check.js';
import { setClocks, signed, skewMsMax } from './clock-tolerance.js';
import type { ClockReading, Facts } from './facts.js';

const versionLeast = [2, 9, 10] as const;
const roundTripMsMax = 250;
const bytesPerSlot = 4;
const bytesPerMember = 64;
const statusBytesPerRank = 512;
const bytesBeside = 16_384;
/** An answer to a new leader holds some mappings: the newest, those voted on, the engine's own. */
const mappingsPerMessage = 4;

/** The NATS server and what it keeps, clocks, and what these credentials may do. */
export function serverChecks(facts: Facts): Check[] {
  return [
    ...serverItself(facts),
    payload(facts),
    limits(facts),
    clocks(facts),
    serverClocks(facts),
    ...permissions(facts),
    eventStream(facts),
    records(facts),
  ];
}

function serverItself({ server, recordsStream, eventStream: events }: Facts): Check[] {
  if (server.kind === 'refusal') {
    return [fail('server', server.message, 'see that the NATS server runs and is reached')];
  }
  const { url, version, hasJetStream, roundTripMs, isEncrypted, cluster, clusterServers } =
    server.answer;
  const where = `nats-server ${version} at ${url}${isEncrypted ? ', TLS' : ''}`;
  const reachable = `${where}, ${roundTripMs.toFixed(1)} ms there and back`;
  const checks: Check[] = [
    roundTripMs > roundTripMsMax
      ? warn('server', reachable, 'find out why the network or this machine is slow')
      : ok('server', reachable),
    isOldServer(version)
      ? fail('server version', version, `install nats-server ${versionLeast.join('.')} or later`)
      : ok('server version', version),
    hasJetStream
      ? ok('JetStream', 'on')
      : fail(
          'JetStream',
          'off at this server',
          'set jetstream {} with a store_dir in its configuration',
        ),
  ];
  const copies = [recordsStream, events].flatMap((asked) =>
    asked.kind === 'answer' && asked.answer !== null ? [asked.answer.replicas] : [],
  );
  const servers = Math.max(clusterServers.length, cluster === null ? 1 : 2);
  if (cluster === null) {
    checks.push(
      warn(
        'cluster',
        'one NATS server alone',
        'run three, with replicas 3, to outlive the loss of one',
      ),
    );
  } else if (copies.some((replicas) => replicas < 3 && replicas < servers)) {
    const advice = 'set replicas to 3 in the settings of the coordinators';
    checks.push(warn('cluster', `${cluster}, and streams of ${Math.min(...copies)} copy`, advice));
  } else {
    checks.push(
      ok('cluster', `${cluster}, ${Math.min(...copies, servers)} copies of what is kept`),
    );
  }
  return checks;
}

export function isOldServer(version: string): boolean {
  const numbers = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  for (const [index, least] of versionLeast.entries()) {
    const number = numbers[index] ?? 0;
    if (number !== least) return number < least;
  }
  return false;
}

/** Bytes of the largest message that the deployment sends, about: an answer to a leader, or a status. */
export function largestMessageBytes({ mapping, ranks }: StatusAnswer): number {
  const map = mapping.layers * mapping.physicalExperts * bytesPerSlot;
  const answer = mappingsPerMessage * (map + ranks.length * bytesPerMember);
  return Math.max(answer, ranks.length * statusBytesPerRank) + bytesBeside;
}

function payload({ server, status }: Facts): Check {
  const name = 'max_payload';
  if (server.kind === 'refusal' || status.kind === 'refusal') {
    return skip(name, 'the size of the deployment is not known');
  }
  const { maxPayloadBytes } = server.answer;
  const needed = largestMessageBytes(status.answer);
  const found = `${bytes(maxPayloadBytes)}; the largest message has about ${bytes(needed)}`;
  if (needed <= maxPayloadBytes) return ok(name, found);
  return fail(name, found, 'raise max_payload of every NATS server');
}

function limits({ limits: asked }: Facts): Check {
  const name = 'account limits';
  if (asked.kind === 'refusal') {
    return skip(name, notAsked(asked));
  }
  const { storageBytes, storageBytesMax, streams, streamsMax } = asked.answer;
  const storageMax = storageBytesMax === null ? 'no limit' : `${bytes(storageBytesMax)} at most`;
  const numberMax = streamsMax === null ? 'no limit' : `${streamsMax} at most`;
  const found = `${bytes(storageBytes)} stored (${storageMax}), ${streams} streams (${numberMax})`;
  const isFull = storageBytesMax !== null && storageBytes > 0.9 * storageBytesMax;
  return isFull ? fail(name, found, 'raise the storage of the account') : ok(name, found);
}

function clocks({ clock }: Facts): Check {
  const name = 'clocks';
  if (clock === null) return skip(name, 'nobody who leads told its time');
  const found = `the leader's is ${skewOf(clock)} from this machine's`;
  return isFar(clock) ? warn(name, found, setClocks) : ok(name, found);
}

function serverClocks({ serverClock: clock }: Facts): Check {
  const name = 'server clock';
  if (clock === null) return skip(name, 'no server told its time: it keeps no event yet');
  const of = `the one of ${clock.server ?? 'the NATS server'}, which keeps the events,`;
  if (clock.against === 'this machine') {
    const found = `${of} is ${skewOf(clock)} from this machine's`;
    return isFar(clock) ? warn(name, found, setClocks) : ok(name, found);
  }
  // An event is stored after it is written, and much later where the store was away.
  const found = `${of} stored the newest event ${signed(clock.skewMs)} from the event's own time`;
  const advice = `${setClocks}; unless the event waited for the store: then look again`;
  return isFar(clock) ? warn(name, found, advice) : ok(name, found);
}

/** Further than the times in events may mislead whoever compares them, whatever the question took. */
function isFar({ skewMs, roundTripMs }: ClockReading): boolean {
  return Math.abs(skewMs) - roundTripMs / 2 > skewMsMax;
}

function skewOf({ skewMs, roundTripMs }: ClockReading): string {
  return `${signed(skewMs)} (± ${seconds(roundTripMs / 2)})`;
}

function permissions({ status, dryRun, events }: Facts): Check[] {
  const look = isForbidden(status)
    ? fail(
        'may look',
        'the server does not permit it',
        'use the context of an operator or a viewer',
      )
    : ok('may look', 'status is permitted');
  const command = isForbidden(dryRun)
    ? warn(
        'may command',
        'the server does not permit it: a viewer',
        'use an operator’s context to steer',
      )
    : ok('may command', 'permitted');
  const read = isForbidden(events)
    ? warn(
        'may read events',
        'the server does not permit it',
        'use the context of an operator or a viewer',
      )
    : ok('may read events', 'permitted');
  return [look, command, read];
}

function eventStream({ eventStream: asked, events }: Facts): Check {
  const name = 'event stream';
  if (asked.kind === 'refusal') return skip(name, notAsked(asked));
  if (asked.answer === null) {
    return fail(
      name,
      'there is none',
      'start a coordinator: it makes the stream with its first event',
    );
  }
  if (events.kind === 'refusal' && !isForbidden(events)) {
    return fail(
      name,
      `${events.code}: ${events.message}`,
      'look for who writes events that are none',
    );
  }
  const { messages, bytes: held, bytesMax, ageMaxMs, replicas, replicasCurrent } = asked.answer;
  const days =
    ageMaxMs === null ? 'no age limit' : `${Math.round(ageMaxMs / 86_400_000)} days at most`;
  const size = bytesMax === null ? 'no size limit' : `${bytes(bytesMax)} at most`;
  const found = `${messages} events, ${bytes(held)}; ${days}, ${size}, ${replicas} copies`;
  if (replicasCurrent !== null && replicasCurrent < replicas) {
    return fail(name, `${found}; ${replicasCurrent} keep up`, 'see to the NATS servers that lag');
  }
  if (bytesMax === null && ageMaxMs === null) {
    return warn(name, found, 'let a coordinator of this version lead: it sets the limits');
  }
  return ok(name, found);
}

function records({ record, recordsStream, status }: Facts): Check {
  const name = 'records';
  if (status.kind === 'refusal') return skip(name, 'nobody leads who could read them');
  if (record.kind === 'refusal') {
    const found = `the record of version ${status.answer.mapping.version} can't be read: ${record.message}`;
    if (isForbidden(record)) return skip(name, found);
    return fail(name, found, `look up ${record.code} in docs/errors.md`);
  }
  const found = `that of version ${status.answer.mapping.version} was read`;
  if (recordsStream.kind === 'refusal' || recordsStream.answer === null) return ok(name, found);
  const { replicas, replicasCurrent, onDisk } = recordsStream.answer;
  if (replicasCurrent !== null && replicasCurrent < replicas) {
    const lagging = `${found}; ${replicasCurrent} of ${replicas} copies keep up`;
    return fail(name, lagging, 'see to the NATS servers that lag');
  }
  return onDisk
    ? ok(name, `${found}; ${replicas} copies, on disk`)
    : fail(name, `${found}; in memory alone`, 'keep the bucket in file storage');
}

function notAsked(asked: Extract<Asked<unknown>, { readonly kind: 'refusal' }>): string {
  return isForbidden(asked) ? 'these credentials may not ask' : `${asked.code}: ${asked.message}`;
}

import { type NatsConnection, NatsError, StorageType, type StreamInfo } from 'nats';
import { coded } from './nats-errors.js';

/** The server that a connection goes to, as it tells. */
export interface ServerDescription {
  readonly url: string;
  readonly name: string;
  readonly version: string;
  readonly hasJetStream: boolean;
  readonly maxPayloadBytes: number;
  /** Name of the cluster, null of a server alone. */
  readonly cluster: string | null;
  /** Servers of the cluster that clients may use; of a server alone none. */
  readonly clusterServers: readonly string[];
  readonly isEncrypted: boolean;
  /** A ping and its answer. */
  readonly roundTripMs: number;
}

/** What a stream may hold and holds. Where there is no limit it is null. */
export interface StreamDescription {
  readonly replicas: number;
  /** Servers that have a copy and keep up, the stream's leader among them; null of a server alone. */
  readonly replicasCurrent: number | null;
  readonly onDisk: boolean;
  readonly bytes: number;
  readonly messages: number;
  readonly bytesMax: number | null;
  readonly ageMaxMs: number | null;
  /** Server that answered: the stream's leader; null of a server alone. */
  readonly server: string | null;
  /** Milliseconds since 1970 by its clock; null of a server before 2.10, which does not tell. */
  readonly atMs: number | null;
  /** The newest message, and when it was stored by that clock; null where there is none. */
  readonly newest: { readonly sequence: number; readonly atMs: number } | null;
}

/** JetStream's limits for the account; where there is no limit it is null. */
export interface StoreLimits {
  readonly storageBytes: number;
  readonly storageBytesMax: number | null;
  readonly streams: number;
  readonly streamsMax: number | null;
}

const nanosPerMs = 1_000_000;
const streamNotFound = 10059;

export async function describeServerOn(connection: NatsConnection): Promise<ServerDescription> {
  try {
    const roundTripMs = await connection.rtt();
    const { info } = connection;
    return {
      url: connection.getServer(),
      name: info?.server_name ?? '',
      version: info?.version ?? '',
      hasJetStream: info?.jetstream ?? false,
      maxPayloadBytes: info?.max_payload ?? 0,
      cluster: info?.cluster ?? null,
      clusterServers: info?.connect_urls ?? [],
      isEncrypted: info?.tls_required ?? false,
      roundTripMs,
    };
  } catch (cause) {
    throw coded('server', cause);
  }
}

/** @returns null where there is no such stream */
export async function describeStreamOn(
  connection: NatsConnection,
  stream: string,
  settings: { readonly timeout: number; readonly apiPrefix?: string },
): Promise<StreamDescription | null> {
  try {
    const manager = await connection.jetstreamManager({ ...settings, checkAPI: false });
    return streamDescription(await manager.streams.info(stream));
  } catch (cause) {
    if (cause instanceof NatsError && cause.api_error?.err_code === streamNotFound) return null;
    throw coded(`stream ${stream}`, cause);
  }
}

function streamDescription(info: StreamInfo): StreamDescription {
  const { config, state, cluster } = info;
  const newestAtMs = millisOf(state.last_ts);
  const followers = cluster?.replicas?.filter(({ current }) => current).length ?? 0;
  return {
    replicas: config.num_replicas,
    replicasCurrent: cluster === undefined ? null : followers + 1,
    onDisk: config.storage === StorageType.File,
    bytes: state.bytes,
    messages: state.messages,
    bytesMax: orNull(config.max_bytes),
    ageMaxMs: config.max_age > 0 ? config.max_age / nanosPerMs : null,
    server: cluster?.leader ?? null,
    atMs: millisOf('ts' in info ? info.ts : undefined),
    newest:
      state.messages === 0 || newestAtMs === null
        ? null
        : { sequence: state.last_seq, atMs: newestAtMs },
  };
}

/** Of a time as servers write it; its fractions of a second may have nine digits. */
function millisOf(time: unknown): number | null {
  const millis = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(millis) ? null : millis;
}

export async function storeLimitsOn(
  connection: NatsConnection,
  timeout: number,
): Promise<StoreLimits> {
  try {
    const manager = await connection.jetstreamManager({ timeout, checkAPI: false });
    const { storage, streams, limits } = await manager.getAccountInfo();
    return {
      storageBytes: storage,
      storageBytesMax: orNull(limits.max_storage),
      streams,
      streamsMax: orNull(limits.max_streams),
    };
  } catch (cause) {
    throw coded('JetStream account', cause);
  }
}

/** The server writes −1 for no limit. */
function orNull(limit: number): number | null {
  return limit < 0 ? null : limit;
}

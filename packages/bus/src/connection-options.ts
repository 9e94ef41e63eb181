import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { IsobarError } from '@isobar/protocol';
import { type ConnectionOptions, NatsError } from 'nats';
import type { NatsContext } from './nats-context.js';

/**
 * What the client needs to know of identity and encryption.
 * @throws IsobarError ISOBAR_BUS_SERVER_URL where a URL is none, or holds a secret
 */
export function identityOptions(
  servers: readonly string[],
  context: NatsContext | null,
): ConnectionOptions {
  const hosts = servers.map((server, index) => hostOf(server, index));
  const { authenticator = null, tls = null } = context?.secrets() ?? {};
  const asksTls = tls !== null || servers.some((server) => server.startsWith('tls://'));
  return {
    // Credentials that the server does not know yet, or not any more, may be put right there.
    ignoreAuthErrorAbort: true,
    ...(context?.inboxPrefix == null ? {} : { inboxPrefix: context.inboxPrefix }),
    ...(authenticator === null ? {} : { authenticator }),
    // Its presence alone makes the client refuse a server that offers no TLS.
    ...(asksTls ? { tls: tlsOptions(hosts, tls ?? {}) } : {}),
  };
}

/**
 * The server's certificate must be one of the hosts named here. For a server that is named by its
 * address the client would check the name `localhost` in its place.
 */
function tlsOptions<Material extends object>(hosts: readonly string[], material: Material) {
  return {
    ...material,
    minVersion: 'TLSv1.2',
    checkServerIdentity: (_: string, certificate: PeerCertificate): Error | undefined => {
      const failures = hosts.map((host) => checkServerIdentity(host, certificate));
      return failures.includes(undefined) ? undefined : failures[0];
    },
  };
}

function hostOf(server: string, index: number): string {
  let url: URL;
  try {
    url = new URL(server.includes('://') ? server : `nats://${server}`);
  } catch {
    throw badUrl(index, 'is no URL');
  }
  if (url.username !== '' || url.password !== '') {
    throw badUrl(index, 'holds a user or a secret, which belong in a context file');
  }
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

/** The URL itself is not told: it may hold a secret. */
function badUrl(index: number, why: string): IsobarError {
  const text = `URL ${index + 1} of the NATS servers ${why}`;
  return new IsobarError('ISOBAR_BUS_SERVER_URL', text, { field: 'servers', index });
}

/** Why a connection was not made. */
export function connectionFailure(servers: readonly string[], cause: unknown): IsobarError {
  const where = servers.join(', ');
  if (cause instanceof NatsError && cause.isAuthError()) {
    const text = `the NATS server at ${where} refuses these credentials`;
    return new IsobarError('ISOBAR_BUS_UNAUTHORIZED', text, { servers }, { cause });
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `no NATS server takes a connection at ${where}: ${why}`;
  return new IsobarError('ISOBAR_BUS_UNREACHABLE', text, { servers }, { cause });
}

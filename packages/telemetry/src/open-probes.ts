import { parseListenAddress } from './listen-address.js';
import type { Logger } from './logger.js';
import { ProbeServer, type ProbeServerOptions } from './probe-server.js';

/**
 * A process's probes, where it is to have any.
 * @param listen `HOST:PORT`, null for none
 * @throws TelemetryError ISOBAR_TELEMETRY_LISTEN
 */
export async function openProbes(
  listen: string | null,
  {
    logger,
    ...options
  }: Pick<ProbeServerOptions, 'lacking' | 'metrics'> & { readonly logger: Logger },
): Promise<ProbeServer | null> {
  if (listen === null) return null;
  const address = parseListenAddress(listen);
  const onError = (cause: unknown) => logger.error({ err: cause }, 'probes');
  const server = await ProbeServer.listen({ ...options, address, onError });
  logger.info({ host: address.host, port: server.port }, 'probes');
  return server;
}

import type { Logger } from './logger.js';
import { ProbeServer, type ProbeServerOptions } from './probe-server.js';

/**
 * A process's probes, where it is to have any.
 * @param address null for none
 * @throws TelemetryError ISOBAR_TELEMETRY_LISTEN
 */
export async function openProbes(
  address: ProbeServerOptions['address'] | null,
  {
    logger,
    ...options
  }: Pick<ProbeServerOptions, 'lacking' | 'metrics'> & { readonly logger: Logger },
): Promise<ProbeServer | null> {
  if (address === null) return null;
  const onError = (cause: unknown) => logger.error({ err: cause }, 'probes');
  const server = await ProbeServer.listen({ ...options, address, onError });
  logger.info({ host: address.host, port: server.port }, 'probes');
  return server;
}

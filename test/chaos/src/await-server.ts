import { awaitBus, type Bus } from '@isobar/bus';

const deadlineMs = 60_000;

/**
 * A connection to one server, as soon as it answers: a machine that starts several clusters is slow.
 * @throws Error after a minute
 */
export function awaitServer(server: string, name: string): Promise<Bus> {
  // Servers are what is being killed: the connection's own errors say nothing new.
  const ignore = () => undefined;
  const options = { servers: [server], name, onError: ignore };
  return awaitBus(options, ignore, AbortSignal.timeout(deadlineMs));
}

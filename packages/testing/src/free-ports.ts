import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { testingError } from './testing-error.js';

/** Below the range from which kernels draw the ports of outgoing connections. */
const portMin = 12_000;
const portMax = 32_000;
const attemptsMax = 200;

/**
 * TCP ports of the loopback interface that nobody listens on. They are outside the range of outgoing connections, so
 * that a server which is stopped for a while finds its own still free when it returns.
 * @throws IsobarError ISOBAR_TESTING_PORTS
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  try {
    for (let attempt = 0; ports.length < count; attempt += 1) {
      if (attempt === attemptsMax) {
        const text = `no ${count} free ports in ${attemptsMax} attempts`;
        throw testingError('ISOBAR_TESTING_PORTS', text, { count });
      }
      const port = randomInt(portMin, portMax);
      const server = await listen(port);
      if (server === null) continue;
      held.push(server);
      ports.push(port);
    }
    return ports;
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** Null where the port is taken. */
function listen(port: number): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(null);
      else reject(error);
    });
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server));
  });
}

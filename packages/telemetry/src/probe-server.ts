import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from './metrics.js';
import { TelemetryError } from './telemetry-error.js';

export interface ProbeServerOptions {
  /** Port 0 takes any that is free. */
  readonly address: { readonly host: string; readonly port: number };
  /** What the process lacks to do its work, for people; it is ready where that is nothing. */
  readonly lacking: () => readonly string[];
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** Told of failures that no answer can carry. */
  readonly onError: (cause: unknown) => void;
  /** A request must be complete by then, and a connection go on to the next. @default 5,000 */
  readonly requestTimeoutMs?: number;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

const connectionsMax = 64;
const headerBytesMax = 4_096;

/**
 * What a platform asks of a process over HTTP: `/livez` (it answers), `/readyz` (200, or 503 with
 * what it lacks) and `/metrics`. It takes no input, and reads no body.
 */
export class ProbeServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws TelemetryError ISOBAR_TELEMETRY_LISTEN where the address can't be listened on */
  static async listen(options: ProbeServerOptions): Promise<ProbeServer> {
    const { address, requestTimeoutMs = 5_000 } = options;
    const { host, port } = address;
    const limits = {
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      keepAliveTimeout: requestTimeoutMs,
      // Not looked for more rarely: connections that say nothing would keep others out.
      connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
      maxHeaderSize: headerBytesMax,
    };
    const server = createServer(limits, (request, response) => {
      answerTo(request, options)
        .catch((cause: unknown): Answer => {
          options.onError(cause);
          return { status: 500, body: 'failed: see the log\n' };
        })
        .then((answer) => send(response, answer), options.onError);
    });
    server.maxConnections = connectionsMax;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const text = `${host}:${port} can't be listened on: ${cause.message}`;
        reject(new TelemetryError('ISOBAR_TELEMETRY_LISTEN', text, { host, port }, { cause }));
      });
      server.listen(port, host, resolve);
    });
    server.removeAllListeners('error').on('error', options.onError);
    return new ProbeServer(server);
  }

  /** The one that was free, where any would do. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Resolves once no connection is left. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeAllConnections();
    await closed;
  }
}

async function answerTo(
  { method, url }: IncomingMessage,
  { lacking, metrics }: ProbeServerOptions,
): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'GET or HEAD\n' };
  switch (url) {
    case '/livez':
      return { status: 200, body: 'live\n' };
    case '/readyz': {
      const lacks = lacking();
      if (lacks.length === 0) return { status: 200, body: 'ready\n' };
      return { status: 503, body: lacks.map((what) => `lacks ${what}\n`).join('') };
    }
    case '/metrics':
      return { status: 200, body: await metrics.text(), contentType: metrics.contentType };
    default:
      return { status: 404, body: '/livez, /readyz or /metrics\n' };
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const { status, body, contentType = 'text/plain; charset=utf-8' } = answer;
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

import { execFile } from 'node:child_process';
import { decode, encode } from '@msgpack/msgpack';
import { connect, type NatsConnection } from 'nats';
import { z } from 'zod';
import { natsClientPath } from './go-executables.js';
import { IsobarTransport } from './isobar-transport.js';

/** More than any command is asked to wait. */
const requestTimeoutMs = 70_000;
const answerBytesMax = 16 * 1024 * 1024;

/** How a client asks. */
export interface CommandTransport {
  encode(question: object): Uint8Array;
  /** What a service tells of itself, JSON. */
  information(service: string): Promise<unknown>;
  /** The answer to any body whatever, or the code of its refusal. */
  request(subject: string, body: Uint8Array): Promise<unknown>;
  close(): Promise<void>;
}

const jsonOf = (question: object) => new TextEncoder().encode(JSON.stringify(question));

class ConnectionTransport implements CommandTransport {
  readonly #connection: NatsConnection;
  readonly #bodies: 'json' | 'message-pack';

  constructor(connection: NatsConnection, bodies: 'json' | 'message-pack') {
    this.#connection = connection;
    this.#bodies = bodies;
  }

  encode(question: object): Uint8Array {
    return this.#bodies === 'json' ? jsonOf(question) : encode(question);
  }

  async information(service: string): Promise<unknown> {
    return (await this.#connection.request(`$SRV.INFO.${service}`, '')).json();
  }

  async request(subject: string, body: Uint8Array): Promise<unknown> {
    const answer = await this.#connection.request(subject, body, { timeout: requestTimeoutMs });
    const code = answer.headers?.get('Isobar-Error-Code') ?? '';
    if (code !== '') return code;
    return this.#bodies === 'json' ? answer.json() : decode(answer.data);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** The stock client as a process: answers on its standard output, headers in its log. */
class NatsClientTransport implements CommandTransport {
  readonly #executable: string;
  readonly #url: string;

  constructor(executable: string, url: string) {
    this.#executable = executable;
    this.#url = url;
  }

  encode(question: object): Uint8Array {
    return jsonOf(question);
  }

  async information(service: string): Promise<unknown> {
    const { output } = await this.#run(['micro', 'info', service, '--json'], null);
    return z.object({ info: z.unknown() }).parse(JSON.parse(output)).info;
  }

  async request(subject: string, body: Uint8Array): Promise<unknown> {
    const request = ['request', '--no-templates', '--force-stdin', subject];
    const { output, log } = await this.#run(request, body);
    if (log.includes('No responders')) throw new Error(`nobody answers ${subject}`);
    const code = /Isobar-Error-Code: (\S+)/.exec(log)?.[1];
    return code ?? JSON.parse(output);
  }

  async close(): Promise<void> {}

  #run(words: readonly string[], input: Uint8Array | null) {
    const all = ['--server', this.#url, '--timeout', `${requestTimeoutMs}ms`, ...words];
    return new Promise<{ output: string; log: string }>((resolve, reject) => {
      const options = { timeout: requestTimeoutMs, maxBuffer: answerBytesMax };
      const client = execFile(this.#executable, all, options, (error, output, log) => {
        if (error === null) resolve({ output, log });
        else reject(new Error(`nats ${words.join(' ')}: ${log}`, { cause: error }));
      });
      client.stdin?.end(input ?? undefined);
    });
  }
}

export async function overConnection(
  url: string,
  bodies: 'json' | 'message-pack',
): Promise<CommandTransport> {
  return new ConnectionTransport(await connect({ servers: url }), bodies);
}

interface KnownTransport {
  readonly name: string;
  /** Tried with a current nats-server, where there is one. */
  readonly isCurrent: boolean;
  /** It sends whatever body it is given, also what is no question. */
  readonly takesAnyBody: boolean;
  readonly connect: (url: string) => Promise<CommandTransport>;
}

function transportsOf(natsClient: string | null): KnownTransport[] {
  const raw = (['json', 'message-pack'] as const).map((bodies) => ({
    name: `a client that sends ${bodies}`,
    isCurrent: false,
    takesAnyBody: true,
    connect: (url: string) => overConnection(url, bodies),
  }));
  const isobar = {
    name: 'isobar',
    isCurrent: false,
    takesAnyBody: false,
    connect: async (url: string) => new IsobarTransport(url, await overConnection(url, 'json')),
  };
  if (natsClient === null) return [...raw, isobar];
  const connect = async (url: string) => new NatsClientTransport(natsClient, url);
  const stock = { name: 'the nats client', isCurrent: true, takesAnyBody: true, connect };
  return [...raw, isobar, stock];
}

/** Every kind of client there is on this machine. */
export const transports: readonly KnownTransport[] = transportsOf(natsClientPath);

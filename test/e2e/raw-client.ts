import { z } from 'zod';
import type { CommandTransport } from './command-transport.js';
import { readSchema, type SchemaNode, violations } from './json-schema.js';

interface Endpoint {
  readonly subject: string;
  readonly question: SchemaNode;
  readonly answer: SchemaNode;
}

const informationSchema = z.object({
  endpoints: z.array(
    z.object({
      name: z.string(),
      subject: z.string(),
      metadata: z.record(z.string(), z.string()),
    }),
  ),
});

/** Fields of the answers that tests look at; all of them are held against the schema told. */
const answerSchema = z.looseObject({
  requestId: z.string().nullish(),
  state: z.string().optional(),
  outcome: z.string().nullish(),
  reason: z.string().optional(),
  code: z.string().nullish(),
  baseVersion: z.number().nullish(),
  version: z.number().nullish(),
});
export type RawAnswer = z.infer<typeof answerSchema>;

/**
 * A client that knows nothing but what the micro service tells of itself: it finds the endpoints as
 * `nats micro info` does, and holds each question and answer against the schemas told.
 */
export class RawClient {
  readonly #transport: CommandTransport;
  readonly #endpoints: ReadonlyMap<string, Endpoint>;
  readonly #done = new Set<string>();

  private constructor(transport: CommandTransport, endpoints: ReadonlyMap<string, Endpoint>) {
    this.#transport = transport;
    this.#endpoints = endpoints;
  }

  static async over(transport: CommandTransport, service: string): Promise<RawClient> {
    const { endpoints } = informationSchema.parse(await transport.information(service));
    const known = endpoints.map(({ name, subject, metadata }): [string, Endpoint] => [
      name,
      {
        subject,
        question: readSchema(metadata.request_schema ?? ''),
        answer: readSchema(metadata.response_schema ?? ''),
      },
    ]);
    return new RawClient(transport, new Map(known));
  }

  get commands(): string[] {
    return [...this.#endpoints.keys()];
  }

  /** Commands that have been done, and not only asked what they would do. */
  get commandsDone(): string[] {
    return [...this.#done];
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /**
   * An answer to a question that the schema allows.
   * @returns the code where it is refused
   */
  async ask(name: string, question: object = {}): Promise<RawAnswer | string> {
    const endpoint = this.#endpoints.get(name);
    if (endpoint === undefined) throw new Error(`the service tells of no endpoint ${name}`);
    const wrong = violations(endpoint.question, question);
    if (wrong.length > 0) throw new Error(`no question of ${name}: ${wrong.join('; ')}`);
    const answered = await this.send(endpoint.subject, this.#transport.encode(question));
    if (typeof answered === 'string') return answered;
    const told = violations(endpoint.answer, answered);
    if (told.length > 0) throw new Error(`no answer of ${name}: ${told.join('; ')}`);
    const answer = answerSchema.parse(answered);
    if (answer.outcome?.startsWith('would-be') !== true) this.#done.add(name);
    return answer;
  }

  /** As `ask`, where a refusal is none. */
  async done(name: string, question: object = {}): Promise<RawAnswer> {
    const answer = await this.ask(name, question);
    if (typeof answer === 'string') throw new Error(`${name} is refused: ${answer}`);
    return answer;
  }

  /** The answer to any body whatever, or the code of its refusal. */
  send(subject: string, body: Uint8Array): Promise<unknown> {
    return this.#transport.request(subject, body);
  }
}

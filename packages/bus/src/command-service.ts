import { type ErrorFields, IsobarError, requesterHeader } from '@isobar/protocol';
import { headers, Match, type NatsConnection, type ServiceMsg } from 'nats';
import { isInbox } from './reply-subject.js';

export interface CommandServiceOptions {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** Endpoint `status` is asked at `<subjectPrefix>.status`. */
  readonly subjectPrefix: string;
  /**
   * Of the processes in one group each command goes to one; every group gets it. Letters, digits, -
   * and _. @default the service API's own, `q`
   */
  readonly queueGroup?: string;
}

/** Commands being served. */
export interface CommandService {
  /** No command is taken from now on; those taken are answered. */
  stop(): Promise<void>;
}

export interface CommandEndpoint {
  readonly name: string;
  readonly description: string;
  /** What the service tells of the endpoint beside that, by key. */
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * An IsobarError that it throws is the answer; any other is also told to onError. Null: another
   * process is to answer, this one says nothing.
   * @param requesterInformation values of the header that names the requester, for `readRequester`
   */
  readonly handle: (
    payload: Uint8Array,
    requesterInformation: readonly string[],
  ) => CommandAnswer | Promise<CommandAnswer>;
}

export type CommandAnswer = Uint8Array | null;

export async function serveOn(
  connection: NatsConnection,
  options: CommandServiceOptions,
  endpoints: readonly CommandEndpoint[],
  onError: (error: IsobarError) => void,
): Promise<CommandService> {
  const { name, version, description, subjectPrefix, queueGroup } = options;
  const queue = queueGroup === undefined ? {} : { queue: queueGroup };
  const service = await connection.services.add({ name, version, description, ...queue });
  for (const endpoint of endpoints) {
    service.addEndpoint(endpoint.name, {
      subject: `${subjectPrefix}.${endpoint.name}`,
      metadata: { description: endpoint.description, ...endpoint.metadata },
      handler: (error, message) => {
        if (error !== null) onError(asIsobarError(endpoint.name, error));
        else void answer(endpoint, message, onError);
      },
    });
  }
  return {
    stop: async () => {
      const error = await service.stop();
      if (error !== null) onError(asIsobarError('stop', error));
    },
  };
}

async function answer(
  endpoint: CommandEndpoint,
  message: ServiceMsg,
  onError: (error: IsobarError) => void,
): Promise<void> {
  if (!isInbox(message.reply)) {
    // Also keeps an answer from being made another command by its reply subject.
    const text = `a command ${endpoint.name} was refused: no inbox waits for its answer`;
    onError(new IsobarError('ISOBAR_BUS_NO_INBOX', text, { command: endpoint.name }));
    return;
  }
  const information = message.headers?.values(requesterHeader, Match.IgnoreCase) ?? [];
  try {
    const answered = await endpoint.handle(message.data, information);
    if (answered !== null) message.respond(answered);
  } catch (cause) {
    const error = asIsobarError(endpoint.name, cause);
    if (error.code === 'ISOBAR_BUS_HANDLER_FAILED') onError(error);
    refuse(message, error);
  }
}

function refuse(message: ServiceMsg, error: IsobarError): void {
  const header = headers();
  header.set('Isobar-Error-Code', error.code);
  // The service API's own headers: its clients show these.
  header.set('Nats-Service-Error-Code', '400');
  header.set('Nats-Service-Error', error.message.replaceAll(/\s+/g, ' '));
  message.respond(new Uint8Array(0), { headers: header });
}

function asIsobarError(command: string, cause: unknown): IsobarError {
  if (cause instanceof IsobarError) return cause;
  const fields: ErrorFields = { command };
  const message = `the command ${command} failed`;
  return new IsobarError('ISOBAR_BUS_HANDLER_FAILED', message, fields, { cause });
}

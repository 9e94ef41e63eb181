import type { CommandEndpoint } from '@isobar/bus';
import { EplbError } from '@isobar/eplb';
import {
  bodyKindOf,
  type CommandAnswer,
  type CommandName,
  type CommandQuestion,
  commandNames,
  commandSchemas,
  commands,
  encodeBody,
  IsobarError,
  type Requester,
  readQuestion,
  readRequester,
} from '@isobar/protocol';

/** What a command does, of a question that has been checked. */
export type CommandHandlers = {
  readonly [Name in CommandName]: (
    question: CommandQuestion<Name>,
    requester: Requester,
  ) => CommandAnswer<Name> | Promise<CommandAnswer<Name>>;
};

/** A command that was to change something, for the audit trail. */
export interface CommandEvent {
  readonly command: string;
  readonly requester: Requester;
  /** `dry-run`: it was asked what it would do. */
  readonly outcome: 'done' | 'refused' | 'dry-run';
  /** The refusal's code, null where it was not refused. */
  readonly code: string | null;
  readonly requestId: string | null;
}

export interface CommandEndpointsOptions {
  readonly handlers: CommandHandlers;
  /** Whether this process is to answer: it holds the lease at this moment. */
  readonly isHolder: () => boolean;
  /** As of `readRequester`. */
  readonly vouchedAccount: string | null;
  /** Told of every command that may change something, and who gave it. */
  readonly tell: (event: CommandEvent) => void;
  /** Told of every command whose requester nobody vouches for, or whose body can't be read. */
  readonly onRefused: (error: IsobarError) => void;
}

/**
 * The commands of one deployment, as endpoints of a NATS micro service. Only the holder of the
 * lease answers: another that still gets commands says nothing, and leaves them to it. A command that
 * should carry the server's word for its requester and doesn't is refused before anything is done.
 */
export function commandEndpoints(options: CommandEndpointsOptions): CommandEndpoint[] {
  return commandNames.map((name) => endpointOf(name, options));
}

function endpointOf<Name extends CommandName>(
  name: Name,
  options: CommandEndpointsOptions,
): CommandEndpoint {
  const { access, description } = commands[name];
  const { question, answer } = commandSchemas(name);
  return {
    name,
    description,
    metadata: {
      access,
      request_schema: JSON.stringify(question),
      response_schema: JSON.stringify(answer),
    },
    handle: async (body, information) => {
      if (!options.isHolder()) return null;
      const requester = noting(options, () => readRequester(information, options.vouchedAccount));
      const answered = await toldOf(name, requester, options, () =>
        coded(() =>
          options.handlers[name](
            noting(options, () => readQuestion(name, body)),
            requester,
          ),
        ),
      );
      return encodeBody(answered, bodyKindOf(body));
    },
  };
}

function noting<T>({ onRefused }: CommandEndpointsOptions, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof IsobarError) onRefused(error);
    throw error;
  }
}

async function toldOf<T>(
  name: CommandName,
  requester: Requester,
  { tell }: CommandEndpointsOptions,
  act: () => Promise<T>,
): Promise<T> {
  if (commands[name].access === 'read') return act();
  try {
    const answered = await act();
    tell({ command: name, requester, code: null, ...outcomeOf(answered) });
    return answered;
  } catch (error) {
    const code = error instanceof IsobarError ? error.code : 'ISOBAR_BUS_HANDLER_FAILED';
    tell({ command: name, requester, outcome: 'refused', code, requestId: null });
    throw error;
  }
}

function outcomeOf(answered: unknown): Pick<CommandEvent, 'outcome' | 'requestId'> {
  const { dryRun, requestId } = answered as { dryRun?: unknown; requestId?: unknown };
  return {
    outcome: dryRun === true ? 'dry-run' : 'done',
    requestId: typeof requestId === 'string' ? requestId : null,
  };
}

/** Refusals of the placement package are answers too, by their own code. */
async function coded<T>(act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof EplbError)) throw error;
    throw new IsobarError(error.code, error.message, error.fields, { cause: error });
  }
}

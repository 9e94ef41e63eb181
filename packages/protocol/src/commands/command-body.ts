import type { z } from 'zod';
import { decodeValue, encode } from '../codec.js';
import { IsobarError } from '../isobar-error.js';
import { type CommandName, type CommandQuestion, commands } from './commands.js';

/** What a body is written in; an answer is written in what was asked in. */
export type BodyKind = 'json' | 'message-pack';

const questionBytesMaxDefault = 65_536;

/** MessagePack's maps begin with such a byte, and no text in UTF-8 that is JSON does. */
export function bodyKindOf(body: Uint8Array): BodyKind {
  return (body[0] ?? 0) >= 0x80 ? 'message-pack' : 'json';
}

/**
 * Reads a command's question; an empty body is an empty object.
 * @throws IsobarError ISOBAR_COORDINATOR_COMMAND_MALFORMED naming the field
 */
export function readQuestion<Name extends CommandName>(
  name: Name,
  body: Uint8Array,
): CommandQuestion<Name> {
  const { question, questionBytesMax = questionBytesMaxDefault } = definitionOf(name);
  if (body.byteLength > questionBytesMax) {
    throw malformed('', `has ${body.byteLength} bytes, at most ${questionBytesMax} are taken`);
  }
  const parsed = question.safeParse(body.byteLength === 0 ? {} : parsedBody(body));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw malformed(issue?.path.join('.') ?? '', issue?.message ?? 'is invalid');
}

export function encodeBody(value: unknown, kind: BodyKind): Uint8Array {
  return kind === 'json' ? new TextEncoder().encode(JSON.stringify(value)) : encode(value);
}

interface Definition<Question> {
  readonly question: z.ZodType<Question>;
  readonly questionBytesMax?: number;
}

/** The table's entry, as a type that depends on the name alone. */
function definitionOf<Name extends CommandName>(name: Name): Definition<CommandQuestion<Name>> {
  return commands[name] as unknown as Definition<CommandQuestion<Name>>;
}

function parsedBody(body: Uint8Array): unknown {
  if (bodyKindOf(body) === 'message-pack') {
    try {
      return decodeValue('command', body);
    } catch (cause) {
      throw malformed('', 'is not MessagePack', cause);
    }
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw malformed('', 'is not JSON', cause);
  }
}

function malformed(field: string, why: string, cause?: unknown): IsobarError {
  const text = `the command's body${field === '' ? '' : `, field ${field},`} ${why}`;
  const fields = { field };
  return new IsobarError('ISOBAR_COORDINATOR_COMMAND_MALFORMED', text, fields, { cause });
}

import { type CommandAnswer, type CommandName, commands, IsobarError } from '@isobar/protocol';
import type { z } from 'zod';

/** A mapping as it may be imported again has no more; servers would carry 64 MiB. */
const bytesMax = 8_388_608;
/** No answer comes near it; writing what is nested without end would take all of the stack. */
const depthMax = 64;

/**
 * What a command was answered, checked by its schema.
 * @throws IsobarError ISOBAR_CLI_ANSWER naming command and field
 */
export function readAnswer<Name extends CommandName>(
  command: Name,
  bytes: Uint8Array,
): CommandAnswer<Name> {
  if (bytes.byteLength > bytesMax) {
    throw refuse(command, `has ${bytes.byteLength} bytes, at most ${bytesMax} are read`);
  }
  let value: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    assertShallow(text);
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse(command, 'is not JSON', '', cause);
  }
  const parsed = schemaOf(command).safeParse(value);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') ?? '';
  throw refuse(command, `is malformed at field ${field}`, field);
}

/** @throws RangeError */
function assertShallow(text: string): void {
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > depthMax) throw new RangeError(`it is nested more than ${depthMax} deep`);
  }
}

/** The table's entry, as a type that depends on the name alone. */
function schemaOf<Name extends CommandName>(name: Name): z.ZodType<CommandAnswer<Name>> {
  return commands[name].answer as unknown as z.ZodType<CommandAnswer<Name>>;
}

function refuse(command: string, why: string, field = '', cause?: unknown): IsobarError {
  const text = `the answer to ${command} ${why}`;
  return new IsobarError('ISOBAR_CLI_ANSWER', text, { command, field }, { cause });
}

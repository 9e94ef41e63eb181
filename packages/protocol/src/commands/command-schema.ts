import { z } from 'zod';
import { type CommandName, commands } from './commands.js';

/** JSON Schema of a command's question and answer: what the micro service tells of its endpoints. */
export function commandSchemas(name: CommandName): {
  readonly question: unknown;
  readonly answer: unknown;
} {
  const { question, answer } = commands[name];
  return {
    question: z.toJSONSchema(question, { io: 'input' }),
    answer: z.toJSONSchema(answer, { io: 'output' }),
  };
}

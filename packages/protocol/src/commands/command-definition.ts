import type { z } from 'zod';

/** What a command of a deployment's micro service does: `read` changes nothing. */
export type CommandAccess = 'read' | 'change';

/** One command, as it is documented, checked and served. */
export interface CommandDefinition {
  /** Viewers may read; operators may do both. */
  readonly access: CommandAccess;
  readonly description: string;
  readonly question: z.ZodType;
  readonly answer: z.ZodType;
  /** A question, for the documentation. */
  readonly example: Readonly<Record<string, unknown>>;
  /** Codes by which it is refused, beside those of every command. */
  readonly refusals: readonly string[];
  /** @default 65,536 */
  readonly questionBytesMax?: number;
}

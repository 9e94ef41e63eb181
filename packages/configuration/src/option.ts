import { z } from 'zod';
import {
  type ReadQuantity,
  readBytesPerSecond,
  readMillis,
  readSeconds,
  writeMillis,
} from './quantity.js';

/**
 * How an option may change while processes run. `command`: by `set-parameters`, and by the file and
 * SIGHUP; `file`: by the file and SIGHUP; `restart`: when the process starts again.
 */
export type AtRunTime = 'command' | 'file' | 'restart';

/** One option, as it is documented, checked and read. */
export interface Option<T = unknown> {
  /** Reads what is written in the file: a number is in the unit of the name. */
  readonly schema: z.ZodType<T>;
  /** What a text outside the file, of a variable or a command line, would be in it. */
  readonly written: (text: string) => unknown;
  /** What may be written, for messages. */
  readonly expected: string;
  readonly unit: string | null;
  readonly bounds: string | null;
  /** Undefined: it must be given. */
  readonly default: T | undefined;
  readonly atRunTime: AtRunTime;
  /** What it does, and why one would change it. */
  readonly meaning: string;
  /** An option of its group that is written as a map of its own, beside its other form. */
  readonly isMapAllowed?: true;
}

interface Described<T> {
  /** Left out: it must be given. */
  readonly default?: T;
  readonly atRunTime: AtRunTime;
  readonly meaning: string;
}

interface Bounded<T> extends Described<T> {
  readonly least: number;
  readonly most: number;
}

function option<T>(
  { default: byDefault, atRunTime, meaning }: Described<T>,
  rest: Pick<Option<T>, 'schema' | 'expected'> & Partial<Option<T>>,
): Option<T> {
  const common = { unit: null, bounds: null, written: (text: string) => text };
  return { ...common, ...rest, default: byDefault, atRunTime, meaning };
}

function numberWritten(text: string): unknown {
  const trimmed = text.trim();
  return trimmed !== '' && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

function quantitySchema(read: ReadQuantity, bounds: z.ZodType<number>): z.ZodType<number> {
  const compiled = z.string().transform((text, context) => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue('no quantity');
    return z.NEVER;
  });
  // A number passes as it is.
  return z.union([z.number(), compiled]).pipe(bounds as z.ZodType<number, number>);
}

/** A duration in whole milliseconds: a number, or a text such as `15s`. */
export function duration({ least, most, ...described }: Bounded<number>): Option<number> {
  const bounds = `${writeMillis(least)} to ${writeMillis(most)}`;
  return option(described, {
    schema: quantitySchema(readMillis, z.number().int().min(least).max(most)),
    written: numberWritten,
    expected: `a duration from ${bounds}: milliseconds, or such as "15s" or "250ms"`,
    unit: 'ms',
    bounds,
  });
}

export function count({ least, most, ...described }: Bounded<number>): Option<number> {
  const bounds = `${least.toLocaleString('en')} to ${most.toLocaleString('en')}`;
  return option(described, {
    schema: z.number().int().min(least).max(most),
    written: numberWritten,
    expected: `a whole number from ${bounds}`,
    bounds,
  });
}

/** A number between two others, which are included; the first is not where `isOpen`. */
export function share({
  isOpen = false,
  ...described
}: Described<number> & { readonly isOpen?: boolean }): Option<number> {
  const bounds = isOpen ? 'above 0, to 1' : '0 to 1';
  const from = z.number().max(1);
  return option(described, {
    schema: isOpen ? from.gt(0) : from.min(0),
    written: numberWritten,
    expected: `a number ${isOpen ? bounds : `from ${bounds}`}`,
    bounds,
  });
}

export function bytesPerSecond(described: Described<number>): Option<number> {
  return option(described, {
    schema: quantitySchema(readBytesPerSecond, z.number().positive()),
    written: numberWritten,
    expected: 'bytes per second above 0: a number, or such as "10 GB/s" or "400 Gb/s"',
    unit: 'bytes/s',
    bounds: 'above 0',
  });
}

export function seconds(described: Described<number>): Option<number> {
  return option(described, {
    schema: quantitySchema(readSeconds, z.number().positive()),
    written: numberWritten,
    expected: 'seconds above 0: a number, or such as "12us"',
    unit: 's',
    bounds: 'above 0',
  });
}

/** A text that a schema of the protocol's describes. */
export function text(
  described: Described<string> & { readonly schema: z.ZodType<string>; readonly expected: string },
): Option<string> {
  const { schema, expected } = described;
  return option(described, { schema, expected });
}

const pathCharactersMax = 4_096;

/** Path of a file or folder, from the configuration file's folder where it is relative. */
export function path(described: Described<string> & { readonly expected: string }): Option<string> {
  return option(described, {
    schema: z.string().min(1).max(pathCharactersMax),
    expected: described.expected,
  });
}

export function choice<const T extends string>(
  described: Described<T> & { readonly choices: readonly T[] },
): Option<T> {
  const { choices } = described;
  return option<T>(described, {
    schema: z.enum(choices) as unknown as z.ZodType<T>,
    expected: `one of ${choices.join(', ')}`,
    bounds: choices.join(', '),
  });
}

export function flag(described: Described<boolean>): Option<boolean> {
  return option(described, {
    schema: z.boolean(),
    written: (from) => ({ true: true, false: false })[from.trim()] ?? from,
    expected: 'true or false',
    bounds: 'true, false',
  });
}

/** A list of texts; outside the file they are separated by commas. */
export function texts(
  described: Described<readonly string[]> & {
    readonly item: z.ZodType<string>;
    readonly most: number;
    readonly expected: string;
  },
): Option<readonly string[]> {
  const { item, most, expected } = described;
  return option<readonly string[]>(described, {
    schema: z.array(item).min(1).max(most),
    written: (from) => from.split(',').map((one) => one.trim()),
    expected,
    bounds: `1 to ${most}`,
  });
}

/** An option that may be left out, or be null in the file: then it is null. */
export function optional<T>(inner: Option<T>): Option<T | null> {
  return {
    ...inner,
    schema: z.union([inner.schema, z.null()]),
    default: inner.default ?? null,
    expected: `${inner.expected}, or null`,
  };
}

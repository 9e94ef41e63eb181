/** An error as it stands in a log line. */
export interface SerializedError {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly fields?: unknown;
  readonly stack?: string;
  readonly cause?: SerializedError | string;
  readonly errors?: readonly SerializedError[];
}

/** Causes below causes that a line holds. */
const depthMax = 8;

/** Name, message, code, fields and the chain of causes; what is no error is written as text. */
export function serializeError(error: unknown, depth = 0): SerializedError {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error) };
  const { name, message, stack, cause } = error;
  const serialized: { -readonly [Field in keyof SerializedError]: SerializedError[Field] } = {
    name,
    message,
  };
  if ('code' in error) serialized.code = error.code;
  if ('fields' in error) serialized.fields = error.fields;
  // The outermost stack shows where; those of its causes repeat most of it.
  if (depth === 0 && stack !== undefined) serialized.stack = stack;
  if (depth >= depthMax) return serialized;
  if (cause !== undefined) serialized.cause = serializeError(cause, depth + 1);
  if (error instanceof AggregateError) {
    serialized.errors = error.errors.map((inner) => serializeError(inner, depth + 1));
  }
  return serialized;
}

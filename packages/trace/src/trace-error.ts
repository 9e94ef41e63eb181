/** A trace that can't be read, made or written: a stable code, and the facts that name what. */
export class TraceError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, options);
    this.name = 'TraceError';
    this.code = code;
    this.fields = fields;
  }
}

/** A refused placement request or a failed plan: a stable code, and the facts that name what. */
export class EplbError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, options);
    this.name = 'EplbError';
    this.code = code;
    this.fields = fields;
  }
}

/** A refused cluster description: a stable code, and the facts that name what and where. */
export class TopologyError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, options);
    this.name = 'TopologyError';
    this.code = code;
    this.fields = fields;
  }
}

/** Facts about a failure that a program may act on; never secrets. */
export type ErrorFields = Readonly<Record<string, unknown>>;

/**
 * A failure with a stable code (`ISOBAR_…`, listed in docs/errors.md), the facts that name
 * what and where, and the failure that caused it.
 */
export class IsobarError extends Error {
  readonly code: string;
  readonly fields: ErrorFields;

  constructor(
    code: string,
    message: string,
    fields: ErrorFields = {},
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, options);
    this.name = 'IsobarError';
    this.code = code;
    this.fields = fields;
  }
}

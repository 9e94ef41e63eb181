/** A refused telemetry setting: a stable code, and the facts that name what. */
export class TelemetryError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
    options: ErrorOptions = {},
  ) {
    super(message, options);
    this.name = 'TelemetryError';
    this.code = code;
    this.fields = fields;
  }
}

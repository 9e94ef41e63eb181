/** What was waited for did not come: says what, and what was seen last. */
export class NotSeenError extends Error {
  constructor(what: string, options: { readonly cause?: unknown } = {}) {
    super(what, options);
    this.name = 'NotSeenError';
  }
}

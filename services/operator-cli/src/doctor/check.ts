/** `skip`: it could not be looked at, and why is said. */
export type Verdict = 'ok' | 'warn' | 'fail' | 'skip';

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was found. */
  readonly found: string;
  /** What to do, null where nothing is to be done. */
  readonly advice: string | null;
}

export const ok = (name: string, found: string): Check => ({
  name,
  verdict: 'ok',
  found,
  advice: null,
});
export const skip = (name: string, found: string): Check => ({
  ...ok(name, found),
  verdict: 'skip',
});
export const warn = (name: string, found: string, advice: string): Check => ({
  name,
  verdict: 'warn',
  found,
  advice,
});
export const fail = (name: string, found: string, advice: string): Check => ({
  ...warn(name, found, advice),
  verdict: 'fail',
});

/** What a question came to. */
export type Asked<T> =
  | { readonly kind: 'answer'; readonly answer: T }
  | { readonly kind: 'refusal'; readonly code: string; readonly message: string };

/** These credentials may not ask it. */
export function isForbidden(asked: Asked<unknown>): boolean {
  return asked.kind === 'refusal' && asked.code === 'ISOBAR_BUS_NOT_PERMITTED';
}

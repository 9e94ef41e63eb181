import type { AuditEvent, StatusAnswer } from '@isobar/protocol';
import { printable } from '../drawing/fit.js';

export const sortings = ['rank', 'load'] as const;
export type Sorting = (typeof sortings)[number];

/** All that a frame shows; nothing else changes it. */
export interface TopState {
  readonly deployment: string;
  /** The newest answer, null before the first. */
  readonly status: StatusAnswer | null;
  /** Why there is no newer answer; null where there is. */
  readonly trouble: string | null;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** When the newest answer came. */
  readonly answeredAtMs: number | null;
  /** Of each answer, the oldest first. */
  readonly balancedness: readonly number[];
  /** In their order. */
  readonly events: readonly AuditEvent[];
  readonly sorting: Sorting;
  /** A row for each node, and not for each rank; null while nobody has said. */
  readonly byNode: boolean | null;
  /** Rows of the list that are above the screen. */
  readonly scrolled: number;
  readonly isHelping: boolean;
  /** In place of the keys: a question, or what came of an answer. */
  readonly prompt: string | null;
}

export const samplesMax = 240;
export const eventsMax = 200;
/** More of them are shown by node. */
const ranksShownMax = 32;

export function initialTop(deployment: string, nowMs: number): TopState {
  return {
    deployment,
    status: null,
    trouble: null,
    nowMs,
    answeredAtMs: null,
    balancedness: [],
    events: [],
    sorting: 'rank',
    byNode: null,
    scrolled: 0,
    isHelping: false,
    prompt: null,
  };
}

export function withStatus(state: TopState, status: StatusAnswer, nowMs: number): TopState {
  const { balancedness } = status.load;
  const sample = balancedness === null ? [] : [balancedness];
  return {
    ...state,
    // Whoever answers may have written anything into it.
    status: printable(status),
    trouble: null,
    nowMs,
    answeredAtMs: nowMs,
    balancedness: [...state.balancedness, ...sample].slice(-samplesMax),
  };
}

export function withEvents(state: TopState, events: readonly AuditEvent[]): TopState {
  return { ...state, events: [...state.events, ...events].slice(-eventsMax) };
}

/** As somebody said, else where there are many ranks on fewer nodes. */
export function isByNode({ byNode, status }: TopState): boolean {
  const ranks = status?.ranks ?? [];
  const nodes = new Set(ranks.map(({ node }) => node)).size;
  return byNode ?? (ranks.length > ranksShownMax && nodes > 1 && nodes < ranks.length);
}

/** What the state becomes by a key that only changes what is shown; null for any other key. */
export function withKey(state: TopState, key: string, page: number): TopState | null {
  const scroll = (rows: number) => ({ ...state, scrolled: Math.max(0, state.scrolled + rows) });
  switch (key) {
    case '?':
    case 'h':
      return { ...state, isHelping: !state.isHelping };
    case 's': {
      const next = (sortings.indexOf(state.sorting) + 1) % sortings.length;
      return { ...state, sorting: sortings[next] ?? 'rank', scrolled: 0 };
    }
    case 'n':
      return { ...state, byNode: !isByNode(state), scrolled: 0 };
    case 'down':
    case 'j':
      return scroll(1);
    case 'up':
    case 'k':
      return scroll(-1);
    case 'pagedown':
      return scroll(page);
    case 'pageup':
      return scroll(-page);
    case 'home':
      return { ...state, scrolled: 0 };
    default:
      return null;
  }
}

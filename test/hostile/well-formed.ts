import { decode, encode, type MessageKind } from '@isobar/protocol';
import { z } from 'zod';

/** Kinds by which whoever leads gives orders. */
const orders: ReadonlySet<MessageKind> = new Set([
  'prepare',
  'outcome',
  'retire',
  'cut',
  'outcomes-answer',
]);
export const orderSchema = z.looseObject({ fence: z.object({ term: z.number() }) });

/**
 * Whether a message is an order under a fence that holds. Whoever may send it is trusted: servers permit
 * it to coordinators alone (docs/SECURITY.md), and no check can tell it from theirs.
 */
export function isForgedOrder(kind: MessageKind, payload: Uint8Array, termNow: number): boolean {
  if (!orders.has(kind)) return false;
  try {
    const { term } = decode('order', payload, orderSchema).fence;
    return Number.isInteger(term) && term >= termNow;
  } catch {
    return false;
  }
}

/** Whether a command may be one that an operator gives: only dry runs are asked. */
export function mayChange(payload: Uint8Array): boolean {
  try {
    const { dryRun } = decode(
      'question',
      payload,
      z.looseObject({ dryRun: z.unknown().optional() }),
    );
    return dryRun !== true;
  } catch {
    // What is no MessagePack may be JSON; an empty body is an empty question.
    return payload.length === 0 || (payload[0] ?? 0) < 0x80;
  }
}

const question = { requestId: 'one', dryRun: true, waitMs: 0, version: 1, rank: 1, ranks: [1] };
const more = { reason: 'because', mode: 'observe', id: 1, layers: [0], last: 10, of: 1 };
export const dryRuns = [
  encode(question),
  encode({ ...question, ...more }),
  encode({ dryRun: true }),
];

import type { Bus, BusMessage, Intake } from '@isobar/bus';
import {
  cutSchema,
  decode,
  decodeMapRecord,
  decodeProposal,
  IsobarError,
  orderVerbs,
  outcomeMessageSchema,
  prepareSchema,
  type RankSwapEvent,
  retireSchema,
  type Subjects,
  type SwapVerb,
  swapStateSchema,
} from '@isobar/protocol';

/** @param bytes of the message */
type Send = (verb: SwapVerb, event: RankSwapEvent, bytes: number) => void;

/**
 * Hears what the leader tells every rank, and this one alone; what can't be read is counted, and told
 * as that.
 */
export function subscribeOrders(
  bus: Bus,
  subjects: Subjects,
  rank: number,
  intake: Intake,
  send: Send,
): void {
  /** @param order as RefusedOrder names it */
  const hear = (order: string, verb: SwapVerb, read: (payload: Uint8Array) => RankSwapEvent) => {
    const take = ({ payload }: BusMessage) => {
      const tell = (event: RankSwapEvent) => send(verb, event, payload.byteLength);
      const event = intake.read(verb, payload, () => readOrder(order, () => read(payload), tell));
      if (event !== null) tell(event);
    };
    bus.subscribe(subjects.swap(verb), take);
    const own = orderVerbs.find((order) => order === verb);
    if (own !== undefined) bus.subscribe(subjects.order(rank, own), take);
  };
  hear('prepare', 'prepare', (payload) => {
    const message = decode('prepare', payload, prepareSchema);
    return { kind: 'prepare', message, proposal: decodeProposal(message.proposal) };
  });
  hear('outcome', 'outcome', (payload) => {
    const message = decode('outcome', payload, outcomeMessageSchema);
    return { kind: 'outcome', message, record: decodeMapRecord(message.record) };
  });
  hear('retire', 'retire', (payload) => ({
    kind: 'retire',
    message: decode('retire', payload, retireSchema),
  }));
  hear('cut', 'cut', (payload) => ({
    kind: 'cut',
    message: decode('cut', payload, cutSchema),
  }));
  hear('swap state', 'state', (payload) => ({
    kind: 'swap-state',
    message: decode('swap state', payload, swapStateSchema),
  }));
}

/** @throws IsobarError as `read` does, and it is in the rank's reports */
function readOrder(
  order: string,
  read: () => RankSwapEvent,
  tell: (event: RankSwapEvent) => void,
): RankSwapEvent {
  try {
    return read();
  } catch (error) {
    if (error instanceof IsobarError) {
      const { code, message } = error;
      tell({ kind: 'order-unreadable', order, code, message });
    }
    throw error;
  }
}

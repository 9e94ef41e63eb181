import type { Bus, Intake } from '@isobar/bus';
import {
  cutSchema,
  decode,
  decodeMapRecord,
  decodeProposal,
  IsobarError,
  outcomeMessageSchema,
  prepareSchema,
  type RankSwapEvent,
  retireSchema,
  type Subjects,
  swapStateSchema,
} from '@isobar/protocol';

type Send = (event: RankSwapEvent) => void;

/** Hears what the leader tells every rank; what can't be read is counted, and told as that. */
export function subscribeOrders(bus: Bus, subjects: Subjects, intake: Intake, send: Send): void {
  /** @param order as RefusedOrder names it */
  const hear = (order: string, subject: string, read: (payload: Uint8Array) => RankSwapEvent) =>
    bus.subscribe(subject, ({ payload }) => {
      const event = intake.read(subject, () => readOrder(order, () => read(payload), send));
      if (event !== null) send(event);
    });
  hear('prepare', subjects.swap('prepare'), (payload) => {
    const message = decode('prepare', payload, prepareSchema);
    return { kind: 'prepare', message, proposal: decodeProposal(message.proposal) };
  });
  hear('outcome', subjects.swap('outcome'), (payload) => {
    const message = decode('outcome', payload, outcomeMessageSchema);
    return { kind: 'outcome', message, record: decodeMapRecord(message.record) };
  });
  hear('retire', subjects.swap('retire'), (payload) => ({
    kind: 'retire',
    message: decode('retire', payload, retireSchema),
  }));
  hear('cut', subjects.swap('cut'), (payload) => ({
    kind: 'cut',
    message: decode('cut', payload, cutSchema),
  }));
  hear('swap state', subjects.swap('state'), (payload) => ({
    kind: 'swap-state',
    message: decode('swap state', payload, swapStateSchema),
  }));
}

/** @throws IsobarError as `read` does, and it is in the rank's reports */
function readOrder(order: string, read: () => RankSwapEvent, send: Send): RankSwapEvent {
  try {
    return read();
  } catch (error) {
    if (error instanceof IsobarError) {
      const { code, message } = error;
      send({ kind: 'order-unreadable', order, code, message });
    }
    throw error;
  }
}

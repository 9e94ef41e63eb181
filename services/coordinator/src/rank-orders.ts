import { type Bus, OversizeAlarm } from '@isobar/bus';
import { type CoordinatorEffect, encode, type IsobarError, type Subjects } from '@isobar/protocol';

const orders = { 'send-prepare': 'prepare', 'send-outcome': 'outcome' } as const;
const broadcasts = { 'send-retire': 'retire', 'send-state': 'state', 'send-cut': 'cut' } as const;

type Order = Extract<CoordinatorEffect, { readonly kind: keyof typeof orders }>;
type Broadcast = Extract<CoordinatorEffect, { readonly kind: keyof typeof broadcasts }>;

/** What a leader tells ranks. What is too large for the server is told to nobody, and alarmed once. */
export class RankOrders {
  readonly #bus: Pick<Bus, 'publish'>;
  readonly #subjects: Subjects;
  readonly #oversize: OversizeAlarm;

  constructor(
    bus: Pick<Bus, 'publish'>,
    subjects: Subjects,
    onOversize: (error: IsobarError) => void,
  ) {
    this.#bus = bus;
    this.#subjects = subjects;
    this.#oversize = new OversizeAlarm(onOversize);
  }

  /** To all ranks, or to those that have shown nothing of it yet. */
  send({ kind, message, ranks }: Order): void {
    const verb = orders[kind];
    const payload = encode(message);
    if (ranks === null) this.#publish(this.#subjects.swap(verb), payload);
    else for (const rank of ranks) this.#publish(this.#subjects.order(rank, verb), payload);
  }

  broadcast({ kind, message }: Broadcast): void {
    this.#publish(this.#subjects.swap(broadcasts[kind]), encode(message));
  }

  /** @param respond to a question about missed outcomes */
  answerOutcomes(respond: () => void): void {
    this.#oversize.watch(this.#subjects.leader('outcomes'), respond);
  }

  /** Another leadership: what is too large is alarmed anew. */
  reset(): void {
    this.#oversize.reset();
  }

  #publish(subject: string, payload: Uint8Array): void {
    this.#oversize.watch(subject, () => this.#bus.publish(subject, payload));
  }
}

import {
  type Dispatch,
  decodeForwardFrame,
  type ForwardHead,
  type Results,
} from '../src/forward-frames.js';
import { type ExchangeLink, StepExchange } from '../src/step-exchange.js';
import { dispatchOf } from '../src/token-routes.js';

/** One end of a connection in memory; what it sends waits until the test delivers it. */
export class LinkEnd implements ExchangeLink {
  readonly from: number;
  readonly to: number;
  readonly queue: Uint8Array[] = [];
  isOpen = true;

  constructor(from: number, to: number) {
    this.from = from;
    this.to = to;
  }

  send(body: Uint8Array): void {
    if (this.isOpen) this.queue.push(body);
  }
}

export interface Connection {
  readonly ends: readonly [LinkEnd, LinkEnd];
}

const head = (step: number, layer: number, attempt = 0): ForwardHead => ({
  layer,
  step,
  attempt,
  mappingVersion: 0,
  readyVersion: 0,
  stopping: false,
});

export function emptyDispatch(step: number, layer: number, attempt = 0): Dispatch {
  const states = new Float64Array(0);
  return dispatchOf({ head: head(step, layer, attempt), states }, [], []);
}

export function emptyResults({ step, layer, attempt }: ForwardHead): Results {
  const nothing = { numEntries: 0, outputs: new Float64Array(0), service: new Uint8Array(0) };
  return { ...head(step, layer, attempt), ...nothing, kind: 'results', passive: false };
}

export type Exchange = StepExchange<LinkEnd>;

/** Exchanges of several ranks, and the connections between them. */
export class ExchangeWorld {
  readonly exchanges: readonly Exchange[];
  readonly connections = new Set<Connection>();

  constructor(numRanks: number) {
    this.exchanges = Array.from(
      { length: numRanks },
      () => new StepExchange<LinkEnd>({ answer: emptyResults }),
    );
  }

  exchange(rank: number): Exchange {
    const exchange = this.exchanges[rank];
    if (exchange === undefined) throw new Error(`no rank ${rank}`);
    return exchange;
  }

  connect(left: number, right: number): Connection {
    const connection: Connection = { ends: [new LinkEnd(left, right), new LinkEnd(right, left)] };
    this.connections.add(connection);
    return connection;
  }

  /** The ends by which a rank sends. */
  linksOf(rank: number): LinkEnd[] {
    return [...this.connections].flatMap(({ ends }) => ends.filter(({ from }) => from === rank));
  }

  areConnected(left: number, right: number): boolean {
    return this.linksOf(left).some(({ to }) => to === right);
  }

  break(connection: Connection): void {
    this.connections.delete(connection);
    for (const end of connection.ends) {
      end.isOpen = false;
      end.queue.length = 0;
    }
    for (const end of connection.ends) this.exchange(end.from).closed(end);
  }

  /** Ends that have something to deliver. */
  get waiting(): LinkEnd[] {
    return [...this.connections].flatMap(({ ends }) =>
      ends.filter(({ queue }) => queue.length > 0),
    );
  }

  /** Delivers the oldest frame of one end. */
  deliver(end: LinkEnd): void {
    const body = end.queue.shift();
    const connection = [...this.connections].find(({ ends }) => ends.includes(end));
    const other = connection?.ends.find((candidate) => candidate !== end);
    if (body === undefined || other === undefined) return;
    this.exchange(end.to).receive(other, decodeForwardFrame(body));
  }

  /** Delivers everything, and what comes of it. */
  async settle(): Promise<void> {
    for (let end = this.waiting[0]; end !== undefined; end = this.waiting[0]) {
      this.deliver(end);
      await flush();
    }
    await flush();
  }
}

/** Lets every task that can go on do so. */
export function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

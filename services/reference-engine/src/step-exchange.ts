import { IsobarError } from '@isobar/protocol';
import {
  type Dispatch,
  encodeDispatch,
  encodeResults,
  type ForwardFrame,
  type Results,
} from './forward-frames.js';

/** One connection to a peer, as the exchange needs it. */
export interface ExchangeLink {
  readonly isOpen: boolean;
  send(body: Uint8Array): void;
}

export interface StepExchangeOptions {
  /** Serves what a peer has sent where this rank is not in step with it. */
  readonly answer: (dispatch: Dispatch) => Results;
}

interface Heard {
  /** Dispatches of layers that this rank has not gathered yet, by step and layer. */
  readonly dispatches: Map<string, Dispatch>;
  /** Results of the layer and attempt under way. */
  results: Results | null;
  /** Newest layer of this step for which the peer has said that it has no tokens. */
  passiveLayer: number;
}

/** Dispatches of one peer that wait: it is at most a layer or a step ahead. */
const waitingMax = 8;
/** Steps that a peer is ahead in a group which is in step: one that has just joined may be two. */
const aheadMax = 2;

/**
 * Keeps a rank in step with its peers. Each layer of a step is a barrier among the peers that
 * this rank includes in the step: it waits for the tokens of every one of them, then for the
 * results of its own. Which peers it includes is its own affair, fixed when the step begins. A
 * dispatch for which the sender will not be waited for here (of a step in which it is not
 * included, of a layer gone by, or while this rank rests) is answered at once with results that
 * say so. Before its first step a rank keeps what comes until it begins or rests. So two ranks need not agree on when they came together, nor on the step that they are
 * in: whoever is behind is answered by those ahead, and those ahead wait.
 *
 * Nobody waits for ever: of those that wait, one with the least step and layer waits only for
 * peers that have sent what it waits for, or whose connection has ended.
 */
export class StepExchange<Link extends ExchangeLink> {
  readonly #options: StepExchangeOptions;
  readonly #heard = new Map<Link, Heard>();
  #included: ReadonlySet<Link> = new Set();
  #resting = false;
  #step = -1;
  #largestStepAnswered = -1;
  /** Newest layer of this step whose dispatches have been gathered. */
  #gatheredLayer = -1;
  #layer = -1;
  #attempt = 0;
  #wake: (() => void) | null = null;

  constructor(options: StepExchangeOptions) {
    this.#options = options;
  }

  /** The step under way, or the last one; −1 before the first. */
  get step(): number {
    return this.#step;
  }

  /**
   * The step that this rank is to take next. After a time of its own, as after a network that was
   * split, it leaps to that of its peers where they are further.
   */
  get nextStep(): number {
    const next = Math.max(this.#step, this.#largestStepAnswered) + 1;
    let furthest = next;
    for (const { dispatches } of this.#heard.values()) {
      for (const { step } of dispatches.values()) furthest = Math.max(furthest, step);
    }
    return furthest >= next + aheadMax ? furthest : next;
  }

  /** Included peers whose connections stand. */
  get present(): Link[] {
    return [...this.#included].filter((link) => link.isOpen);
  }

  /** Begins a step among `included`. */
  begin(step: number, included: readonly Link[]): void {
    this.#resting = false;
    this.#step = step;
    this.#gatheredLayer = -1;
    this.#layer = -1;
    this.#attempt = 0;
    this.#include(included.filter((link) => link.isOpen));
    for (const link of this.#included) this.#heardOf(link).passiveLayer = -1;
    this.#answerWaiting();
  }

  /** Takes part in no step until the next `begin`: all that peers send is answered at once. */
  rest(): void {
    this.#resting = true;
    this.#include([]);
    this.#answerWaiting();
  }

  #include(links: readonly Link[]): void {
    this.#included = new Set(links);
    for (const link of this.#heard.keys()) if (!link.isOpen) this.#heard.delete(link);
  }

  /** Begins the step anew: its layers are sent again, and results of before are ignored. */
  restart(): void {
    this.#attempt += 1;
    this.#layer = -1;
  }

  get attempt(): number {
    return this.#attempt;
  }

  /**
   * Takes a frame from a peer.
   * @throws IsobarError ISOBAR_ENGINE_PEER_MALFORMED where the peer runs ahead without end
   */
  receive(link: Link, frame: ForwardFrame): void {
    if (frame.kind === 'results') this.#receiveResults(link, frame);
    else this.#receiveDispatch(link, frame);
  }

  #receiveDispatch(link: Link, dispatch: Dispatch): void {
    if (this.#isOutOfStep(link, dispatch)) {
      this.#answer(link, dispatch);
      return;
    }
    const { dispatches } = this.#heardOf(link);
    dispatches.set(keyOf(dispatch.step, dispatch.layer), dispatch);
    if (dispatches.size > waitingMax) {
      const text = `a peer has sent ${dispatches.size} layers ahead`;
      throw new IsobarError('ISOBAR_ENGINE_PEER_MALFORMED', text, { field: 'step' });
    }
    this.#wake?.();
  }

  #isOutOfStep(link: Link, { step, layer }: Dispatch): boolean {
    if (this.#resting || step < this.#step) return true;
    if (step > this.#step) return false;
    return !this.#included.has(link) || layer <= this.#gatheredLayer;
  }

  #answer(link: Link, dispatch: Dispatch): void {
    this.#largestStepAnswered = Math.max(this.#largestStepAnswered, dispatch.step);
    link.send(encodeResults({ ...this.#options.answer(dispatch), passive: true }));
  }

  #answerWaiting(): void {
    for (const [link, { dispatches }] of this.#heard) {
      for (const [key, dispatch] of [...dispatches]) {
        if (!this.#isOutOfStep(link, dispatch)) continue;
        dispatches.delete(key);
        this.#answer(link, dispatch);
      }
    }
  }

  #receiveResults(link: Link, results: Results): void {
    const { step, layer, attempt } = results;
    if (step !== this.#step || !this.#included.has(link)) return;
    if (layer !== this.#layer || attempt !== this.#attempt) return;
    const heard = this.#heardOf(link);
    heard.results = results;
    if (results.passive) heard.passiveLayer = Math.max(heard.passiveLayer, layer);
    this.#wake?.();
  }

  #heardOf(link: Link): Heard {
    let heard = this.#heard.get(link);
    if (heard === undefined) {
      heard = { dispatches: new Map(), results: null, passiveLayer: -1 };
      this.#heard.set(link, heard);
    }
    return heard;
  }

  /** The connection has ended: what has come still counts, and nothing more is waited for. */
  closed(link: Link): void {
    if (!this.#included.has(link)) this.#heard.delete(link);
    this.#wake?.();
  }

  /** Sends a layer's tokens to every included peer. */
  send(layer: number, dispatchTo: (link: Link) => Dispatch): void {
    this.#layer = layer;
    for (const link of this.#included) {
      this.#heardOf(link).results = null;
      if (link.isOpen) link.send(encodeDispatch(dispatchTo(link)));
    }
  }

  /** Results for what a peer has sent in a layer of this step. */
  reply(link: Link, results: Results): void {
    if (link.isOpen) link.send(encodeResults(results));
  }

  /** Whether a layer's dispatches are still to be gathered: not where the step is done anew. */
  awaitsDispatches(layer: number): boolean {
    return layer > this.#gatheredLayer;
  }

  /**
   * The layer's tokens of every included peer that sends some before its connection ends. To be called once for each layer of a step, in order.
   */
  async gatherDispatches(layer: number): Promise<ReadonlyMap<Link, Dispatch>> {
    const key = keyOf(this.#step, layer);
    await this.#until((heard) => heard.dispatches.has(key) || heard.passiveLayer >= layer);
    this.#gatheredLayer = layer;
    const gathered = new Map<Link, Dispatch>();
    for (const link of this.#included) {
      const { dispatches } = this.#heardOf(link);
      const dispatch = dispatches.get(key);
      if (dispatch === undefined) continue;
      dispatches.delete(key);
      gathered.set(link, dispatch);
    }
    return gathered;
  }

  /** Results for what was sent last, of every included peer that sends them. */
  async gatherResults(): Promise<ReadonlyMap<Link, Results>> {
    await this.#until((heard) => heard.results !== null);
    const gathered = new Map<Link, Results>();
    for (const link of this.#included) {
      const { results } = this.#heardOf(link);
      if (results !== null) gathered.set(link, results);
    }
    return gathered;
  }

  async #until(isHeard: (heard: Heard) => boolean): Promise<void> {
    while (!this.present.every((link) => isHeard(this.#heardOf(link)))) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = null;
  }
}

function keyOf(step: number, layer: number): string {
  return `${step}.${layer}`;
}

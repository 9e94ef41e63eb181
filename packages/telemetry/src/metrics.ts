import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Reading } from './reading.js';

/** A metric that is read when it is asked for: what it tells is kept where it belongs. */
export interface Metric<Snapshot> {
  /** Such as `isobar_balancedness`; of a counter it ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly kind: 'gauge' | 'counter';
  /** Names of its labels, the same in every reading. */
  readonly labels?: readonly string[];
  /** Nothing where there is nothing to tell. */
  readonly read: (snapshot: Snapshot) => readonly Reading[];
}

/** What a process tells Prometheus: its own metrics, and those of Node.js. */
export class Metrics<Snapshot = unknown> {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #take: () => Snapshot;
  #snapshot: Snapshot;

  /**
   * @param fields labels of every series
   * @param take what all metrics of one answer are read from
   */
  constructor(
    fields: Readonly<Record<string, string>>,
    take: () => Snapshot,
    metrics: readonly Metric<Snapshot>[],
  ) {
    this.#take = take;
    this.#snapshot = take();
    this.#registry.setDefaultLabels({ ...fields });
    collectDefaultMetrics({ register: this.#registry });
    for (const metric of metrics) this.#register(metric);
    this.contentType = this.#registry.contentType;
  }

  /** In the text format of Prometheus. */
  text(): Promise<string> {
    this.#snapshot = this.#take();
    return this.#registry.metrics();
  }

  #register({ name, help, kind, labels = [], read }: Metric<Snapshot>): void {
    const readings = () => read(this.#snapshot);
    const common = { name, help, labelNames: [...labels], registers: [this.#registry] };
    if (kind === 'gauge') {
      new Gauge({
        ...common,
        collect() {
          clear(this, labels);
          for (const { labels: of = {}, value } of readings()) this.set(of, value);
        },
      });
      return;
    }
    new Counter({
      ...common,
      collect() {
        clear(this, labels);
        for (const { labels: of = {}, value } of readings()) this.inc(of, value);
      },
    });
  }
}

function clear(metric: Gauge | Counter, labels: readonly string[]): void {
  metric.reset();
  // One without labels is 0 by then, which is something else than unknown.
  if (labels.length === 0) metric.remove();
}

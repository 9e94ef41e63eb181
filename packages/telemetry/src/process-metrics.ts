import type { Metric } from './metrics.js';
import { flagReading, numberReading } from './reading.js';

/** What every process has of the bus. */
export interface ProcessSnapshot {
  readonly bus: { readonly connected: boolean; readonly unsent: number } | null;
  readonly intake: { readonly refused: number };
}

/** Metrics that every process tells. */
export function processMetrics(softwareVersion: string): Metric<ProcessSnapshot>[] {
  return [
    {
      name: 'isobar_build_info',
      help: 'Version of Isobar that runs here.',
      kind: 'gauge',
      labels: ['version'],
      read: () => [{ labels: { version: softwareVersion }, value: 1 }],
    },
    {
      name: 'isobar_nats_connected',
      help: 'Whether it is connected to a NATS server.',
      kind: 'gauge',
      read: ({ bus }) => flagReading(bus?.connected === true),
    },
    {
      name: 'isobar_messages_unsent_total',
      help: 'Messages not sent because the connection to NATS was down.',
      kind: 'counter',
      read: ({ bus }) => numberReading(bus?.unsent ?? 0),
    },
    {
      name: 'isobar_messages_refused_total',
      help: 'Messages from outside that were refused.',
      kind: 'counter',
      read: ({ intake }) => numberReading(intake.refused),
    },
  ];
}

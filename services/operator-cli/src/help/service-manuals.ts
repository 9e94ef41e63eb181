import type { Manual } from './manual.js';

const file = 'docs/CONFIGURATION.md';
const exitCodes: Manual['exitCodes'] = {
  0: 'stopped by SIGTERM or SIGINT',
  1: 'failed; the last line of the log says why',
};

export const serviceManuals: Readonly<Record<string, Manual>> = {
  coordinator: {
    details: [
      'Several may run for one deployment, each with a name of its own in ISOBAR_COORDINATOR_HOLDER; one leads. SIGHUP has it read its file again. The log goes to standard error, a line of JSON each.',
    ],
    examples: [
      {
        line: 'isobar coordinator --config /etc/isobar/isobar.yaml',
        does: 'as a container or a unit starts it',
      },
    ],
    seeAlso: ['agent', 'config check', file],
    exitCodes,
  },
  agent: {
    details: [
      'One beside the engine of each rank. SIGHUP has it read its file again. The log goes to standard error, a line of JSON each.',
    ],
    examples: [
      { line: 'isobar agent --config /etc/isobar/isobar.yaml --rank 3', does: 'of rank 3' },
    ],
    seeAlso: ['coordinator', 'config check', file],
    exitCodes,
  },
};

import type { Manual } from './manual.js';

export const memberManuals: Readonly<Record<string, Manual>> = {
  drain: {
    examples: [
      { line: 'isobar drain 3', does: 'one rank' },
      { line: 'isobar drain --node node-1 --yes --no-wait', does: 'a node; the way goes on alone' },
    ],
    seeAlso: ['undrain', 'leave', 'top'],
  },
  undrain: {
    details: ['It is filled by the next rebalance.'],
    examples: [{ line: 'isobar undrain --node node-1', does: 'a node is back from maintenance' }],
    seeAlso: ['drain', 'rebalance'],
  },
  leave: {
    details: ['It returns as a new member when its engine is started anew.'],
    examples: [{ line: 'isobar leave 3', does: 'before the machine is switched off' }],
    seeAlso: ['drain', 'declare-dead'],
  },
  offer: {
    details: [
      'The limit holds until another is set, whatever the engine offers: the fewer of both may be used.',
    ],
    examples: [
      { line: 'isobar offer --rank 3 --slots 24', does: 'memory of rank 3 is wanted elsewhere' },
      { line: 'isobar offer --rank 3 --slots all', does: 'no limit any more' },
    ],
    seeAlso: ['drain', 'status'],
  },
  'declare-dead': {
    details: [
      'Make sure that no such process runs any more, by the platform or at the machine: silence is no proof. It can not be taken back.',
    ],
    examples: [
      {
        line: 'isobar declare-dead 3 0123456789abcdef',
        does: 'the engine that isobar status, or an alarm, names',
      },
    ],
    seeAlso: ['status', 'leave', 'docs/PROTOCOL.md'],
  },
};

import type { Manual } from './manual.js';

export const steeringManuals: Readonly<Record<string, Manual>> = {
  mode: {
    details: [
      'observe records what would be done, approve asks an operator for each plan, automatic acts. The mode is kept when another coordinator leads.',
    ],
    examples: [
      { line: 'isobar mode approve', does: 'plans wait for isobar approve' },
      { line: 'isobar mode automatic --yes', does: 'from a script' },
    ],
    seeAlso: ['approve', 'pause'],
  },
  pause: {
    details: ['What has happened to ranks is seen to all the same: evacuations, joins, deaths.'],
    examples: [{ line: 'isobar pause --yes', does: 'at once' }],
    seeAlso: ['resume', 'cancel', 'mode'],
  },
  resume: {
    examples: [{ line: 'isobar resume', does: 'balancing goes on' }],
    seeAlso: ['pause', 'rollback', 'import'],
  },
  cancel: {
    details: ['A version that is decided goes on: isobar rollback then leads back.'],
    examples: [
      {
        line: "isobar cancel --reason 'not during the launch'",
        does: 'the reason is kept with it',
      },
    ],
    seeAlso: ['pause', 'rollback'],
  },
  approve: {
    details: [
      'Without an id, the plan that was shown is the one that is applied; with --yes, whichever waits.',
    ],
    examples: [
      { line: 'isobar approve', does: 'the plan that waits, after it has been shown' },
      { line: 'isobar approve 5f0c2a91 --yes', does: 'that plan and no other' },
    ],
    seeAlso: ['refuse', 'plan', 'mode'],
  },
  refuse: {
    examples: [{ line: 'isobar refuse 5f0c2a91', does: 'that plan, if it still waits' }],
    seeAlso: ['approve', 'mode'],
  },
  rebalance: {
    details: ['Planned anew when it is applied: loads go on changing after it has been shown.'],
    examples: [
      { line: 'isobar rebalance --dry-run', does: 'what it would move' },
      { line: 'isobar rebalance --layers 0,2', does: 'two layers alone' },
    ],
    seeAlso: ['plan', 'cancel', 'rollback'],
  },
  rollback: {
    examples: [
      { line: 'isobar rollback 3', does: 'shown first, and asked for' },
      {
        line: 'isobar rollback 3 --yes --wait 10m',
        does: 'a script that waits ten minutes at most',
      },
    ],
    seeAlso: ['history', 'explain', 'resume'],
  },
  import: {
    examples: [
      { line: 'isobar import mapping.json', does: 'as isobar export wrote it' },
      { line: 'isobar import - --yes', does: 'from standard input' },
    ],
    seeAlso: ['export', 'resume'],
  },
};

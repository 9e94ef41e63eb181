import type { Manual } from './manual.js';

const file = 'docs/CONFIGURATION.md';

export const configurationManuals: Readonly<Record<string, Manual>> = {
  'config check': {
    details: [
      'All that is wrong is told at once, with line and option. Variables are checked as a service that is started from here would have them.',
    ],
    examples: [
      { line: 'isobar config check /etc/isobar/isobar.yaml', does: 'before a service reads it' },
    ],
    seeAlso: ['config show', file],
    exitCodes: { 0: 'nothing is wrong', 1: "something is, or the file can't be read" },
  },
  'config show': {
    examples: [
      { line: 'isobar config show isobar.yaml', does: 'what would hold, and where it comes from' },
      { line: 'isobar config show --json', does: 'what holds without a file' },
    ],
    seeAlso: ['config check', 'parameters', file],
  },
  parameters: {
    examples: [{ line: 'isobar parameters', does: 'as the leader has them now' }],
    seeAlso: ['set', 'config show', file],
  },
  set: {
    details: [
      "A command's value goes before the environment's, that before the file's, that before the default.",
    ],
    examples: [
      {
        line: 'isobar set coordinator.planIntervalMs=20s coordinator.balancednessMax=0.9',
        does: 'both or neither',
      },
      { line: 'isobar set coordinator.planIntervalMs=', does: 'the file says again' },
    ],
    seeAlso: ['parameters', file],
  },
};

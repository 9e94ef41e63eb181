import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  locateSpinTools,
  modelPath,
  type SearchResult,
  type SpinTools,
  searchModel,
} from './spin.js';

/** Sizes at which the model is searched as a whole; the large ones take minutes. */
const sizes: readonly { readonly definitions: readonly string[]; readonly large?: boolean }[] = [
  { definitions: ['LEADERSHIPS=2', 'RANKS=2', 'VERSIONS=1', 'STORE_LOSSES=2'] },
  { definitions: ['LEADERSHIPS=2', 'RANKS=2', 'VERSIONS=2', 'STORE_LOSSES=1'] },
  { definitions: ['LEADERSHIPS=2', 'RANKS=3', 'VERSIONS=1', 'STORE_LOSSES=1'] },
  { definitions: ['LEADERSHIPS=3', 'RANKS=2', 'VERSIONS=1', 'STORE_LOSSES=1'] },
  { definitions: ['LEADERSHIPS=2', 'RANKS=2', 'VERSIONS=1', 'STORE_LOSSES=2', 'DEATHS=1'] },
  { definitions: ['LEADERSHIPS=2', 'RANKS=3', 'VERSIONS=1', 'STORE_LOSSES=1', 'DEATHS=1'] },
  { definitions: ['LEADERSHIPS=3', 'RANKS=3', 'VERSIONS=1', 'STORE_LOSSES=1'], large: true },
];

/** Faults, each with the fewest leaderships that it takes to do harm. */
const mutations: Readonly<Record<string, number>> = {
  MUTATION_SKIP_FENCE: 2,
  MUTATION_COMPARE_TERMS_WITHOUT_NONCE: 2,
  MUTATION_COMMIT_ON_MAJORITY: 2,
  MUTATION_ACTIVATE_BEFORE_RECORD: 2,
  MUTATION_VOTE_TWICE: 2,
  MUTATION_FORGET_VOTE_IN_RESTART: 2,
  MUTATION_FORGET_FENCE_IN_RESTART: 2,
  MUTATION_FORGET_OUTCOME_IN_RESTART: 2,
  MUTATION_RELEASE_VOTE_ON_ABSENCE: 2,
  MUTATION_ACT_ON_OWN_READING: 2,
  MUTATION_GO_ON_WITH_PART_OF_THE_ANSWERS: 2,
  MUTATION_ASK_WITHOUT_RAISING: 2,
  MUTATION_SETTLE_TIMED_OUT_CREATE_BY_READ: 2,
  MUTATION_OVERWRITE_RECORD: 2,
  MUTATION_STORE_OUTRANKS_RANKS: 3,
  MUTATION_TELL_RECORDS_BEFORE_ANSWERS: 3,
  MUTATION_COUNT_WORDS_BEFORE_CUT: 2,
};

/** Situations that the model must be able to reach, with the fewest leaderships that get there. */
const probes: Readonly<Record<string, number>> = {
  PROBE_ALL_COMMITTED: 2,
  PROBE_RECOVERED_COMMIT: 2,
  PROBE_RECREATED: 2,
  PROBE_CONTRADICTED_RECORD: 2,
  PROBE_COMMIT_UNDER_FENCE: 3,
  PROBE_COMMIT_WITHOUT_THE_DEAD: 2,
};

/** Of these, those that take a rank which is vouched for as dead. */
const takeDeath = new Set(['MUTATION_COUNT_WORDS_BEFORE_CUT', 'PROBE_COMMIT_WITHOUT_THE_DEAD']);

function deathsOf(name: string): string[] {
  return takeDeath.has(name) ? ['DEATHS=1'] : [];
}

/** Changes that do no harm, though they look as if they did. */
const variants = [
  'VARIANT_ANSWER_BEFORE_STAGING_ENDS',
  'VARIANT_VOTE_UNDER_PROPOSERS_FENCE',
] as const;

const located = await locateSpinTools();
const missing = 'missing' in located ? located.missing : null;
const isLarge = process.env.ISOBAR_MODEL === 'large';
const title = missing === null ? 'the model of the swap' : `the model of the swap (${missing})`;

describe.skipIf(missing !== null).concurrent(title, () => {
  const tools = located as SpinTools;

  it.for(sizes.filter(({ large }) => isLarge || large !== true))(
    'keeps every rule: $definitions',
    async ({ definitions }, { expect: expectHere }) => {
      const result = await searchModel(tools, { definitions, shortest: false });
      expectHere(result).toMatchObject({ numErrors: 0, violation: null, complete: true });
      report(definitions, result);
    },
  );

  it('keeps every rule where votes are given and told late', async ({ expect: expectHere }) => {
    const definitions = ['LEADERSHIPS=3', ...variants];
    const result = await searchModel(tools, { definitions, shortest: false });
    expectHere(result).toMatchObject({ numErrors: 0, violation: null, complete: true });
    report(definitions, result);
  });

  it.for(Object.entries(mutations))(
    'breaks a rule under %s',
    async ([mutation, leaderships], { expect: expectHere }) => {
      const definitions = [
        mutation,
        'OUTCOMES_ONLY',
        `LEADERSHIPS=${leaderships}`,
        ...deathsOf(mutation),
      ];
      const result = await searchModel(tools, { definitions, shortest: true });
      expectHere(result.violation).not.toBeNull();
      report(definitions, result);
    },
  );

  it.for(Object.entries(probes))(
    'reaches %s',
    async ([probe, leaderships], { expect: expectHere }) => {
      const definitions = [probe, `LEADERSHIPS=${leaderships}`, ...deathsOf(probe)];
      const result = await searchModel(tools, { definitions, shortest: true });
      expectHere(result.violation).not.toBeNull();
      report(definitions, result);
    },
  );
});

describe('the mutations', () => {
  it('are all tried', async () => {
    const names = (await readFile(modelPath, 'utf8')).match(
      /\b(?:MUTATION|PROBE|VARIANT)_[A-Z_]+\b/g,
    );
    expect([...new Set(names)].sort()).toEqual(
      [...Object.keys(mutations), ...Object.keys(probes), ...variants].sort(),
    );
  });
});

/** With ISOBAR_MODEL=report: what was searched, and how a rule comes to break. */
function report(definitions: readonly string[], result: SearchResult): void {
  if (process.env.ISOBAR_MODEL === undefined) return;
  const { numStates, seconds, memoryMb, violation, story } = result;
  const where = violation === null ? '' : `, violation at depth ${violation.depth}`;
  const line = `${definitions.join(' ')}: ${numStates} states, ${seconds} s, ${memoryMb} MB${where}`;
  console.info([line, ...story].join('\n  '));
}

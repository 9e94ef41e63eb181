import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runScenario } from './dist/scenarios/scenario.js';

const folder = fileURLToPath(new URL('scenarios', import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));

const isVoid = /creates map\.2 as void/;
const isEvacuated = /as committed \(evacuation\)/;
const isTakenOver = /leads under term 2/;

/** What each story is there to tell: one that is written anew must still do so. */
const essences: Readonly<Record<string, RegExp>> = {
  'abort-cancel': isVoid,
  'abort-damaged-weights': /map\.2 as void .*ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH/,
  'abort-deadline': /map\.2 as void \(no vote in time/,
  'abort-death': /map\.2 as void \(rank 2 has died/,
  'abort-staging-fails': /map\.2 as void .*ISOBAR_ENGINE_TRANSFER_FAILED/,
  'agent-restarts': /agent 2 dies[\s\S]*agent 2 starts/,
  'clean-swap': /as committed \(rebalance\)[\s\S]*as committed \(rebalance\)/,
  cut: /asks for the cut[\s\S]*as committed \((evacuation|membership)\)/,
  drain: /as committed \(drain\)/,
  'group-restart': /the group starts[\s\S]*the group starts[\s\S]*as committed \(start\)/,
  'leader-lost-after-record': isTakenOver,
  'leader-lost-before-record': isTakenOver,
  'leader-lost-with-votes-missing': /term 2[\s\S]*map\.2 as void|map\.2 as void[\s\S]*term 2/,
  leave: /as committed \(membership\)/,
  'lost-writes': /the store loses .*map\.2[\s\S]*creates map\.2 as committed/,
  'machine-lost': isEvacuated,
  'rank-lost-activating': isEvacuated,
  'rank-lost-deciding': isEvacuated,
  'rank-lost-preparing': isVoid,
  'rank-lost-retiring': isEvacuated,
  'returning-rank': /joins a group that runs[\s\S]*as committed \(membership\)/,
  rollback: /as committed \(rollback\)[\s\S]*automatic balancing is held/,
  'two-leaders': isTakenOver,
};

describe('the story of', () => {
  it.each(files)('%s goes as it is written', async (file) => {
    const path = join(folder, file);
    const transcript = runScenario(readFileSync(path, 'utf8'));
    expect(transcript).toMatch(
      essences[basename(file, '.txt')] ?? 'what is written of it in essences',
    );
    await expect(transcript).toMatchFileSnapshot(path);
  });
});

describe('a scenario', () => {
  it('with a command that does not exist, or waits in vain, fails', () => {
    expect(() => runScenario('group ranks=3\n\ndance\n')).toThrow('no such command: dance');
    expect(() => runScenario('group ranks=3\n\nwait created 7\n')).toThrow('waited in vain');
  });
});

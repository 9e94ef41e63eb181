import { victims } from './faults/process-faults.js';
import { leaderPhases } from './phases.js';

/** What must have come up, each at least once, in as many runs as `enoughRuns`. */
export const enoughRuns = 10_000;

const crashes = victims.flatMap((victim) =>
  [...leaderPhases, 'no leader']
    .filter((phase) => victim !== 'leader' || phase !== 'no leader')
    .map((phase) => `crash of ${victim}: ${phase}`),
);

const leadershipLost = leaderPhases.map((phase) => `leadership lost: ${phase}`);

export const expectedSituations: readonly string[] = [
  ...crashes,
  ...leadershipLost,
  'two leaders at once',
  'void',
  'in doubt: recovered as committed',
  'in doubt: recovered as void',
  'record created again',
  'leader alarm: record-contradicted',
  'record pruned',
  'map record lost',
  'control record lost',
  'leader record lost',
  'write in doubt',
  'fenced message: prepare',
  'fenced message: outcome',
  'fenced message: query',
  'fenced message: retire',
  'fenced message: swap state',
  'committed: rebalance',
  'committed: evacuation',
  'committed: evacuation before retire',
  'committed: rollback',
  'committed: drain',
  'committed: start, group restarted',
  'committed: a join',
  'committed: a leave, or a cut member',
  'committed: a removal',
  'member cut',
  'a member vouched for as dead is heard',
  'a member vouched for as dead starts anew',
  'peer tells: switch',
  'peer tells: discard',
  'expert missing',
  'group restart',
  'machine lost',
  'rank moved while its machine lives',
  'two agents for one engine',
  'port: broken',
  'port: command-lost',
  'port: answer-lost',
  'port: answered-twice',
  'port: agent-pauses',
  'port: answers late',
  'port: answers outlive their engine',
  'port: late message dropped',
  'port: no answer in time',
  'port: greetings crossed',
  'agent refused: its state is in use',
  'the disk of a paused agent is taken',
  'an engine of a new group is replaced',
  'a source gives nothing',
  'staging corrupted',
  'staging fails',
  'staging stalls',
  'orderly stop of leader',
  'offer shrunk',
  'offer grown',
  'memory given back',
  'proposal refused: it fills a slot that is not offered',
  'accepted: limit-slots',
  'told to leave: agent',
  'told to leave: engine',
  'left by itself',
];

import { moveCostDefault } from '@isobar/eplb';
import { modeSchema } from '@isobar/protocol';
import { z } from 'zod';
import {
  bytesPerSecond,
  choice,
  count,
  duration,
  optional,
  seconds,
  share,
  text,
} from './option.js';

const whileLeading = { least: 100, most: 3_600_000, atRunTime: 'command' } as const;
const ofLeases = { most: 600_000, atRunTime: 'restart' } as const;

const identity = {
  holder: text({
    schema: z.string().regex(/^[^\s/]{1,200}$/),
    expected: 'a name of up to 200 characters, without spaces and slashes',
    default: 'coordinator',
    atRunTime: 'restart',
    meaning:
      'Name under which it leads, for people. Several coordinators share a file: give each its own by the variable.',
  }),
  replicas: count({
    least: 1,
    most: 5,
    default: 1,
    atRunTime: 'restart',
    meaning: 'Copies that the NATS cluster keeps of each record: 3 where it has three servers.',
  }),
  recordsKept: count({
    least: 8,
    most: 4_096,
    default: 64,
    atRunTime: 'restart',
    meaning:
      'Committed versions whose records are kept, the newest: `rollback` and `explain` reach back so far. Older ones are deleted.',
  }),
};

const balancing = {
  mode: choice({
    choices: modeSchema.options,
    default: 'observe',
    atRunTime: 'restart',
    meaning:
      'What a deployment’s first leader does on its own. From then on the mode is what operators say: `isobar mode`.',
  }),
  policy: choice({
    choices: ['locality-aware', 'default'],
    default: 'locality-aware',
    atRunTime: 'command',
    meaning:
      'How placements are made: Isobar’s own, or the published DeepSeek algorithm, to compare.',
  }),
  passMs: duration({
    least: 50,
    most: 600_000,
    default: 1_000,
    atRunTime: 'command',
    meaning:
      'Length of a pass: the loads of all ranks over this time are one point of the window. Longer averages noise away, shorter follows changes sooner.',
  }),
  passStepsMin: count({
    least: 1,
    most: 1_000_000,
    default: 1,
    atRunTime: 'command',
    meaning:
      'Steps that every rank must have told of before a pass may end. Raise it where steps are slow and single ones say little.',
  }),
  windowPasses: count({
    least: 1,
    most: 1_024,
    default: 8,
    atRunTime: 'command',
    meaning: 'Passes in the window by which balancedness is judged.',
  }),
  passesMin: count({
    least: 1,
    most: 1_024,
    default: 2,
    atRunTime: 'command',
    meaning: 'Passes that must be in the window before a plan is made; at most `windowPasses`.',
  }),
  planIntervalMs: duration({
    least: 100,
    most: 86_400_000,
    default: 10_000,
    atRunTime: 'command',
    meaning: 'Least time between two plans. Raise it to have placements change less often.',
  }),
  planDeadlineMs: duration({
    least: 100,
    most: 600_000,
    default: 10_000,
    atRunTime: 'command',
    meaning: 'A plan that takes longer is given up and told. Raise it for very large models.',
  }),
  balancednessMax: share({
    isOpen: true,
    default: 0.95,
    atRunTime: 'command',
    meaning:
      'A plan is made only where the window’s balancedness (1 is perfect) is below this. 1 plans always.',
  }),
};

const economy = {
  horizonPasses: count({
    least: 1,
    most: 100_000,
    default: 60,
    atRunTime: 'command',
    meaning:
      'Passes for which a plan is expected to serve: what a move costs must be saved within them. Lower it where traffic shifts quickly.',
  }),
  bandwidthBytesPerSecond: bytesPerSecond({
    default: 10e9,
    atRunTime: 'command',
    meaning: 'Bandwidth that weights take on all links together while they move.',
  }),
  interference: share({
    default: 0.1,
    atRunTime: 'command',
    meaning:
      'Share of the transfers’ time by which inference is slowed, until it has been measured.',
  }),
  perTokenSeconds: optional(
    seconds({
      atRunTime: 'command',
      meaning: 'A rank’s time for a token of a layer. Fitted from the reported times where null.',
    }),
  ),
  gainShareMin: share({
    default: moveCostDefault,
    atRunTime: 'command',
    meaning:
      'Share of a layer’s mean rank load that a move must save; less is lost in a forecast’s error. 0 lets any gain pay.',
  }),
  backOffMs: duration({
    least: 0,
    most: 86_400_000,
    default: 30_000,
    atRunTime: 'command',
    meaning:
      'After a void version, or a plan that failed, no rebalance begins by itself for this long, and twice as long after each further void.',
  }),
};

const swaps = {
  prepareDeadlineMs: duration({
    ...whileLeading,
    default: 120_000,
    meaning:
      'All votes must be in by then, or the version is void. It must cover the transfer of a wave’s weights.',
  }),
  discardDeadlineMs: duration({
    ...whileLeading,
    default: 30_000,
    meaning: 'After a void, ranks that don’t report their staging gone are waited for this long.',
  }),
  decideDeadlineMs: duration({
    ...whileLeading,
    default: 15_000,
    meaning: 'A record that takes longer to be created raises an alarm.',
  }),
  activateDeadlineMs: duration({
    ...whileLeading,
    default: 30_000,
    meaning: 'Ranks that take longer to activate a committed version raise an alarm.',
  }),
  retireDeadlineMs: duration({
    ...whileLeading,
    default: 30_000,
    meaning: 'Ranks that take longer to free old buffers raise an alarm.',
  }),
  changeRetryMs: duration({
    ...whileLeading,
    default: 5_000,
    meaning: 'An evacuation or a change of members that ended void is tried again after this long.',
  }),
  cutAfterMs: duration({
    ...whileLeading,
    default: 5_000,
    meaning:
      'A member that all others have lost for this long is cut off by them, for good. Raise it where machines pause for longer.',
  }),
};

const leadership = {
  tickMs: duration({
    least: 20,
    most: 10_000,
    default: 500,
    atRunTime: 'restart',
    meaning: 'Heartbeat, and repetition of what ranks have not followed.',
  }),
  leaseMs: duration({
    ...ofLeases,
    least: 500,
    default: 15_000,
    meaning:
      'Another coordinator may lead once the leader record has not changed for this long, by its own clock. Less replaces a dead leader sooner.',
  }),
  renewDeadlineMs: duration({
    ...ofLeases,
    least: 300,
    default: 10_000,
    meaning:
      'A leader stops this long after the start of its last successful renewal: less than `leaseMs`, by as much as clocks may differ.',
  }),
  renewMs: duration({
    ...ofLeases,
    least: 100,
    default: 5_000,
    meaning: 'Between two renewals of the leader record.',
  }),
  retryMs: duration({
    least: 50,
    most: 60_000,
    default: 2_000,
    atRunTime: 'restart',
    meaning:
      'For one read or write of a record, and between attempts that fail; a standby reads so often. With `renewMs` at most `renewDeadlineMs`.',
  }),
  queryDeadlineMs: duration({
    least: 50,
    most: 60_000,
    default: 1_000,
    atRunTime: 'restart',
    meaning: 'For a rank’s answer to a new leader; it is asked again after as long.',
  }),
  runawayFollowMs: duration({
    least: 100,
    most: 3_600_000,
    default: 60_000,
    atRunTime: 'restart',
    meaning:
      'A rank that goes on telling a term which no leader can have come to is followed after this long.',
  }),
  runawayFollowEveryMs: duration({
    least: 0,
    most: 86_400_000,
    default: 3_600_000,
    atRunTime: 'restart',
    meaning: 'And no second time within this one: a rank that lies gets nowhere with it.',
  }),
};

/** In this order they are documented. */
export const coordinatorOptions = {
  ...identity,
  ...balancing,
  ...economy,
  ...swaps,
  ...leadership,
};

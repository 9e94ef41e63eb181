import { count, duration, flag, text } from './option.js';
import { filledByDigits, templateSchema } from './placeholders.js';

const address = templateSchema.refine((value) => {
  const filled = filledByDigits(value);
  const port = /^tcp:\/\/[^\s/]{1,256}:(\d{1,5})$/.exec(filled)?.[1];
  return /^unix:[^\0]+$/.test(filled) || (port !== undefined && Number(port) <= 65_535);
});

export const agentOptions = {
  engine: text({
    schema: address,
    expected: '`unix:PATH` or `tcp://HOST:PORT`, with no placeholder but {rank} and {localRank}',
    default: 'unix:/run/isobar/engine-{rank}.sock',
    atRunTime: 'restart',
    meaning:
      'Where a rank’s engine listens. `{rank}` is the rank, `{localRank}` its place among the ranks of its node: of the topology’s level `node`, else of its innermost.',
  }),
  stateDirectory: text({
    schema: templateSchema.min(1),
    expected: 'the path of a folder, with no placeholder but {rank} and {localRank}',
    default: '/var/lib/isobar',
    atRunTime: 'restart',
    meaning:
      'Folder of what an agent keeps across restarts; it should outlive a container. Placeholders as in `engine`.',
  }),
  ranksPerPod: count({
    least: 1,
    most: 1_024,
    default: 1,
    atRunTime: 'restart',
    meaning:
      'In Kubernetes, where a rank follows from the index of its pod: ranks of a pod, each with its `ISOBAR_LOCAL_RANK`.',
  }),
  reportIntervalMs: duration({
    least: 10,
    most: 60_000,
    default: 1_000,
    atRunTime: 'file',
    meaning: 'Between two reports where nothing changes.',
  }),
  stageDeadlineMs: duration({
    least: 100,
    most: 3_600_000,
    default: 120_000,
    atRunTime: 'file',
    meaning:
      'An engine that has not staged a version by then has said nothing about it. No less than `coordinator.prepareDeadlineMs` is of use.',
  }),
  commandDeadlineMs: duration({
    least: 100,
    most: 600_000,
    default: 10_000,
    atRunTime: 'file',
    meaning: 'For every other command to the engine.',
  }),
  questionDeadlineMs: duration({
    least: 100,
    most: 60_000,
    default: 2_000,
    atRunTime: 'file',
    meaning: 'For a question to the leader.',
  }),
  leaveOnStop: flag({
    default: false,
    atRunTime: 'restart',
    meaning:
      'Asked to stop, an agent first has its engine leave the group, which goes on without it.',
  }),
  leaveDeadlineMs: duration({
    least: 100,
    most: 3_600_000,
    default: 60_000,
    atRunTime: 'restart',
    meaning:
      'It stops then whether its engine has left or not. The platform’s own deadline should be longer.',
  }),
};

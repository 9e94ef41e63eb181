import { z } from 'zod';
import { count, duration, flag, text } from './option.js';

const placeholders = /\{(?:rank|localRank)\}/g;

/** What a text with placeholders is for a rank. */
export function fillPlaceholders(template: string, rank: number, localRank: number): string {
  return template.replaceAll('{rank}', `${rank}`).replaceAll('{localRank}', `${localRank}`);
}

const template = z
  .string()
  .max(4_096)
  .refine((value) => !/[{}]/.test(value.replaceAll(placeholders, '')));

const address = template.refine((value) => {
  const filled = value.replaceAll(placeholders, '0');
  const port = /^tcp:\/\/[^\s/]{1,256}:(\d{1,5})$/.exec(filled)?.[1];
  return /^unix:[^\0]+$/.test(filled) || (port !== undefined && Number(port) <= 65_535);
});

export const listenTemplate = template.refine((value) => {
  const port = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]{1,253}):(\d{1,5})$/.exec(
    value.replaceAll(placeholders, '0'),
  )?.[1];
  return port !== undefined && Number(port) <= 65_535;
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
    schema: template.min(1),
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

import { deploymentSchema } from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import { agentOptions } from './agent-options.js';
import { coordinatorOptions } from './coordinator-options.js';
import { httpOptions } from './http-options.js';
import { natsOptions } from './nats-options.js';
import { choice, type Option, path, text } from './option.js';

const deployment = text({
  schema: deploymentSchema,
  expected: '1 to 64 letters, digits, _ or -',
  atRunTime: 'restart',
  meaning: 'Name of the deployment: one expert-parallel group that serves one model.',
});

const topology: Option<string> = {
  ...path({
    expected: 'the path of a topology, or the topology itself',
    atRunTime: 'restart',
    meaning:
      'The cluster: the path of a YAML file, or that file’s content as a map (packages/topology). A coordinator needs it; an agent for `{localRank}`, and to check a rank that it is not told outright.',
  }),
  isMapAllowed: true,
};

const logOptions = {
  level: choice({
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    atRunTime: 'file',
    meaning: 'Least level that is logged.',
  }),
};

const groups = {
  nats: natsOptions,
  coordinator: coordinatorOptions,
  agent: agentOptions,
  http: httpOptions,
  log: logOptions,
};

type ValuesOf<Group> = {
  readonly [Name in keyof Group]: Group[Name] extends Option<infer T> ? T : never;
};

/** A deployment’s configuration, compiled: durations are milliseconds, paths absolute. */
export interface Configuration {
  readonly deployment: string;
  /** Absolute path of its file, or what is written in place of it. */
  readonly topology: string | Topology;
  readonly nats: ValuesOf<typeof natsOptions>;
  readonly coordinator: ValuesOf<typeof coordinatorOptions>;
  readonly agent: ValuesOf<typeof agentOptions>;
  readonly http: ValuesOf<typeof httpOptions>;
  readonly log: ValuesOf<typeof logOptions>;
}

export type OptionGroup = '' | keyof typeof groups;

/** An option with its place in the file and its name in the environment. */
export interface NamedOption extends Option {
  /** Such as `coordinator.leaseMs`. */
  readonly name: string;
  /** The map that it stands in; empty at the top. */
  readonly group: OptionGroup;
  /** Its name there. */
  readonly key: string;
  /** Such as `ISOBAR_COORDINATOR_LEASE_MS`. */
  readonly variable: string;
}

function named(group: OptionGroup, key: string, option: Option): NamedOption {
  const name = group === '' ? key : `${group}.${key}`;
  return { ...option, name, group, key, variable: variableOf(name) };
}

/** The variable that overrides an option. */
export function variableOf(name: string): string {
  const words = name.replaceAll('.', '_').replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_');
  return `ISOBAR_${words.toUpperCase()}`;
}

/** Every option there is: who reads, checks or documents them takes them from here. */
export const options: readonly NamedOption[] = [
  named('', 'deployment', deployment),
  named('', 'topology', topology),
  ...(Object.keys(groups) as (keyof typeof groups)[]).flatMap((group) =>
    Object.entries<Option>(groups[group]).map(([key, option]) => named(group, key, option)),
  ),
];

export const optionGroups = Object.keys(groups) as readonly Exclude<OptionGroup, ''>[];

const byName = new Map(options.map((option) => [option.name, option]));

export function findOption(name: string): NamedOption | undefined {
  return byName.get(name);
}

/** Values by the options' names. */
export type Values = ReadonlyMap<string, unknown>;

/** Of values that have been read, every option's. */
export function configurationOf(values: Values): Configuration {
  const configuration: Record<string, unknown> = {};
  for (const { group, key, name } of options) {
    if (group === '') configuration[key] = values.get(name);
    else configuration[group] = { ...(configuration[group] as object), [key]: values.get(name) };
  }
  return configuration as unknown as Configuration;
}

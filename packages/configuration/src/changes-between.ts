import { formatTopology, Topology } from '@isobar/topology';
import type { LoadedConfiguration } from './load-configuration.js';
import { configurationOf, type NamedOption, type OptionGroup, options } from './options.js';

/** An option whose value is another than before. */
export interface OptionChange {
  readonly name: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** What a new configuration changes of a process. */
export interface ConfigurationChanges {
  /** Can be applied while it runs. */
  readonly applicable: readonly OptionChange[];
  /** Hold when it starts again. */
  readonly needingRestart: readonly OptionChange[];
}

/** A group that a process has nothing to do with. */
export type OtherGroup = Extract<OptionGroup, 'agent' | 'coordinator'>;

/** What changes for a process from one configuration to the next. */
export function changesBetween(
  current: LoadedConfiguration,
  next: LoadedConfiguration,
  other: OtherGroup,
): ConfigurationChanges {
  const changed = options.filter(
    ({ group, name }) =>
      group !== other && textOf(current.values.get(name)) !== textOf(next.values.get(name)),
  );
  const changeOf = ({ name }: NamedOption) => ({
    name,
    from: current.values.get(name),
    to: next.values.get(name),
  });
  return {
    applicable: changed.filter(({ atRunTime }) => atRunTime !== 'restart').map(changeOf),
    needingRestart: changed.filter(({ atRunTime }) => atRunTime === 'restart').map(changeOf),
  };
}

/** The next configuration, but for what only holds after a restart: that stays as it is. */
export function withoutRestarts(
  current: LoadedConfiguration,
  next: LoadedConfiguration,
): LoadedConfiguration {
  const values = new Map(next.values);
  const origins = new Map(next.origins);
  for (const { name, atRunTime } of options) {
    const origin = current.origins.get(name);
    if (atRunTime !== 'restart' || origin === undefined) continue;
    values.set(name, current.values.get(name));
    origins.set(name, origin);
  }
  return { file: next.file, configuration: configurationOf(values), values, origins };
}

/** A value as it is told and compared. */
export function textOf(value: unknown): string {
  return value instanceof Topology ? formatTopology(value) : JSON.stringify(value);
}

import { IsobarError, type ParameterChanges, type Parameters } from '@isobar/protocol';
import type { LoadedConfiguration, Origin } from './load-configuration.js';
import { suggestion } from './nearest-name.js';
import { configurationOf, findOption, type NamedOption, options } from './options.js';
import { brokenRules } from './rules.js';

/** A recorded parameter that can't be used, and why. */
export interface UnusableParameter {
  readonly name: string;
  readonly what: string;
}

/** A configuration with what operators' commands have set over it. */
export interface EffectiveConfiguration {
  readonly loaded: LoadedConfiguration;
  /** Recorded by another version of the program, or at odds with the file by now: not applied. */
  readonly unusable: readonly UnusableParameter[];
}

const settable = options.filter(({ atRunTime }) => atRunTime === 'command');

/**
 * What holds: a command's value over the environment's, over the file's, over the default. What is
 * recorded is outside data: it is checked as a file is.
 */
export function withParameters(
  base: LoadedConfiguration,
  recorded: Parameters,
): EffectiveConfiguration {
  const unusable: UnusableParameter[] = [];
  const usable = new Map<string, unknown>();
  for (const [name, value] of Object.entries(recorded)) {
    const read = readParameter(name, value);
    if (read instanceof IsobarError) unusable.push({ name, what: read.message });
    else usable.set(name, read.value);
  }
  for (;;) {
    const values = new Map([...base.values, ...usable]);
    const broken = brokenRules(values).find(({ names }) => names.some((name) => usable.has(name)));
    if (broken === undefined) return { loaded: over(base, values, usable.keys()), unusable };
    for (const name of broken.names.filter((one) => usable.has(one))) {
      usable.delete(name);
      unusable.push({ name, what: `${broken.names[0]} ${broken.what}` });
    }
  }
}

function over(
  base: LoadedConfiguration,
  values: ReadonlyMap<string, unknown>,
  commanded: Iterable<string>,
): LoadedConfiguration {
  const origins = new Map(base.origins);
  for (const name of commanded) origins.set(name, { kind: 'command' });
  return { file: base.file, configuration: configurationOf(values), values, origins };
}

/**
 * Checks changes of parameters as a whole, over those recorded.
 * @returns the changes as they are to be recorded: quantities compiled, null where one is reset
 * @throws IsobarError ISOBAR_CONFIGURATION_PARAMETER naming the field
 */
export function checkParameters(
  base: LoadedConfiguration,
  recorded: Parameters,
  changes: ParameterChanges,
): ParameterChanges {
  const checked: Record<string, ParameterChanges[string]> = {};
  for (const [name, value] of Object.entries(changes)) {
    // What is recorded and known no more may be reset all the same.
    const isForgotten = value === null && name in recorded;
    const read = isForgotten ? { value: null } : readChange(name, value);
    if (read instanceof IsobarError) throw read;
    checked[name] = read.value;
  }
  const next = Object.entries({ ...recorded, ...checked }).filter(([, value]) => value !== null);
  const { unusable } = withParameters(base, Object.fromEntries(next) as Parameters);
  // What was unusable before is no fault of the change.
  const before = withParameters(base, recorded).unusable.map(({ name }) => name);
  const refused = unusable.find(({ name }) => name in checked || !before.includes(name));
  if (refused === undefined) return checked;
  throw refuse(refused.name, `${refused.name} can't be so: ${refused.what}`);
}

type Read = { readonly value: ParameterChanges[string] } | IsobarError;

function readChange(name: string, value: ParameterChanges[string]): Read {
  if (value === null) {
    const option = settableOption(name);
    return option instanceof IsobarError ? option : { value };
  }
  return readParameter(name, value);
}

function readParameter(name: string, value: NonNullable<ParameterChanges[string]>): Read {
  const option = settableOption(name);
  if (option instanceof IsobarError) return option;
  const parsed = option.schema.safeParse(typeof value === 'string' ? option.written(value) : value);
  if (!parsed.success) return refuse(name, `${name} must be ${option.expected}`);
  return { value: parsed.data as NonNullable<ParameterChanges[string]> };
}

function settableOption(name: string): NamedOption | IsobarError {
  const option = findOption(name);
  if (option?.atRunTime === 'command') return option;
  if (option === undefined) {
    const own = settable.find(({ key }) => key.toLowerCase() === name.toLowerCase());
    const near =
      own === undefined
        ? suggestion(
            name,
            settable.map((one) => one.name),
          )
        : '';
    return refuse(name, `there is no ${name}${own ? `; did you mean ${own.name}?` : near}`);
  }
  if (name === 'coordinator.mode') return refuse(name, `${name} is set by the command mode`);
  const how = option.atRunTime === 'file' ? 'by the file and SIGHUP' : 'only by a restart';
  return refuse(name, `${name} can't be set by a command: it changes ${how}`);
}

function refuse(name: string, text: string): IsobarError {
  return new IsobarError('ISOBAR_CONFIGURATION_PARAMETER', text, { field: `parameters.${name}` });
}

/** `command`, `environment ISOBAR_…`, `file, line 3` or `default`. */
export function describeOrigin(origin: Origin): string {
  if (origin.kind === 'environment') return `environment ${origin.variable}`;
  return origin.kind === 'file' ? `file, line ${origin.line}` : origin.kind;
}

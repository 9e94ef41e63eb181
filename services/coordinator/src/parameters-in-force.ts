import {
  checkParameters,
  describeOrigin,
  type EffectiveConfiguration,
  invalidConfiguration,
  type LoadedConfiguration,
  options,
  type UnusableParameter,
  withParameters,
} from '@isobar/configuration';
import type { Mode, ParameterChanges, Parameters, ParametersAnswer } from '@isobar/protocol';
import type { PreparedCommand } from './change-commands.js';
import { type CoordinatorSettings, settingsOf } from './settings.js';

type ToldValue = ParametersAnswer['parameters'][number]['value'];

/** The configuration of a coordinator with what operators' commands have set over it. */
export class ParametersInForce {
  #base: LoadedConfiguration;
  #recorded: Parameters = {};
  #effective: EffectiveConfiguration;
  #settings: CoordinatorSettings;

  constructor(base: LoadedConfiguration) {
    this.#base = base;
    this.#effective = withParameters(base, this.#recorded);
    this.#settings = settingsOf(base.configuration);
  }

  get settings(): CoordinatorSettings {
    return this.#settings;
  }

  /** Of the recorded ones those that are not applied. */
  get unusable(): readonly UnusableParameter[] {
    return this.#effective.unusable;
  }

  /**
   * A configuration that has been read anew.
   * @throws IsobarError ISOBAR_CONFIGURATION_INVALID where what commands have set does not go with it
   */
  assertAcceptable(next: LoadedConfiguration): void {
    const known = new Set(this.unusable.map(({ name }) => name));
    const lost = withParameters(next, this.#recorded).unusable.filter(
      ({ name }) => !known.has(name),
    );
    if (lost.length === 0) return;
    const nowhere = { file: next.file, line: null, column: null, variable: null };
    const problems = lost.map(({ name, what }) => ({
      ...nowhere,
      field: name,
      what: `was set by a command and does not go with the file: ${what}`,
    }));
    throw invalidConfiguration(next.file, problems);
  }

  setBase(base: LoadedConfiguration): void {
    this.#base = base;
    this.#derive();
  }

  setRecorded(recorded: Parameters): void {
    this.#recorded = recorded;
    this.#derive();
  }

  #derive(): void {
    this.#effective = withParameters(this.#base, this.#recorded);
    this.#settings = settingsOf(this.#effective.loaded.configuration);
  }

  /** What the command `parameters` answers. */
  answer(mode: Mode): ParametersAnswer {
    const { values, origins, file } = this.#effective.loaded;
    const parameters = options.flatMap(({ name, unit, atRunTime }) => {
      const origin = origins.get(name);
      if (origin === undefined) return [];
      const isMode = name === 'coordinator.mode' && values.get(name) !== mode;
      const held = isMode ? ({ kind: 'command' } as const) : origin;
      const value = toldValue(isMode ? mode : values.get(name));
      return [{ name, value, unit, origin: held.kind, from: describeOrigin(held), atRunTime }];
    });
    return { file, parameters, unusable: [...this.unusable] };
  }

  /**
   * Has parameters set.
   * @throws IsobarError ISOBAR_CONFIGURATION_PARAMETER naming the field
   */
  prepare(changes: ParameterChanges): PreparedCommand {
    const checkedOver = this.#recorded;
    const checked = checkParameters(this.#base, checkedOver, changes);
    const reason = Object.entries(checked)
      .map(([name, value]) => this.#describe(name, value))
      .join('; ');
    return {
      operation: { change: { kind: 'parameters', changes: checked, checkedOver }, request: null },
      effect: null,
      plan: null,
      reason,
      ended: { outcome: 'done', reason },
    };
  }

  #describe(name: string, value: ParameterChanges[string]): string {
    const { values, origins } = this.#base;
    const under = describeOrigin(origins.get(name) ?? { kind: 'default' });
    const base = `${JSON.stringify(values.get(name) ?? null)} (${under})`;
    if (value === null) return `${name} is ${base} again`;
    return `${name} is ${JSON.stringify(value)} by command, over ${base}`;
  }
}

function toldValue(value: unknown): ToldValue {
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') {
    return value;
  }
  return Array.isArray(value) ? value.map(String) : null;
}

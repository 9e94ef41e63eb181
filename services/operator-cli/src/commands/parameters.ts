import type { ParameterChanges, ParametersAnswer } from '@isobar/protocol';
import type { Command } from 'commander';
import { printable } from '../drawing/fit.js';
import { table } from '../table.js';
import { change, changing } from './changing.js';
import { print, withClient, wrongOptions } from './shared.js';

/** Commands for what a running deployment is set to. */
export function addParameters(program: Command): void {
  program
    .command('parameters')
    .description('Every option of the leader: its value, where that comes from, how it changes.')
    .action((_, command: Command) =>
      withClient(command, async (client, { json }) => {
        const answer = await client.ask('parameters', {});
        print(json ? JSON.stringify(answer) : renderParameters(printable(answer)));
      }),
    );
  changing(program.command('set'))
    .argument('<name=value...>', 'options that change by command; without a value one is reset')
    .description(
      'Sets policy and parameters of balancing: all of them or none, durable, in force at once.',
    )
    .action((given: string[], _, command: Command) => {
      const parameters = parametersOf(given);
      return typeof parameters === 'string'
        ? wrongOptions(command, parameters)
        : change(command, 'set-parameters', { parameters });
    });
}

/** @returns what is wrong, where something is */
function parametersOf(given: readonly string[]): ParameterChanges | string {
  const parameters = new Map<string, string | null>();
  for (const text of given) {
    const [, name, value] = /^([A-Za-z][A-Za-z0-9.]*)=(.*)$/s.exec(text) ?? [];
    if (name === undefined) return `'${text}' is no NAME=VALUE`;
    if (parameters.has(name)) return `${name} is set twice`;
    parameters.set(name, value === undefined || value === '' ? null : value);
  }
  return Object.fromEntries(parameters);
}

export function renderParameters({ file, parameters, unusable }: ParametersAnswer): string {
  const rows = parameters.map(({ name, value, from, atRunTime }) => [
    name,
    Array.isArray(value) ? value.join(',') : String(value ?? '-'),
    from,
    atRunTime,
  ]);
  const lines = [
    `configuration ${file}`,
    '',
    table(['option', 'value', 'from', 'changes by'], rows),
  ];
  for (const { name, what } of unusable) lines.push(`not applied: ${name}: ${what}`);
  return lines.join('\n');
}

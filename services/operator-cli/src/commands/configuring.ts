import {
  type CheckedConfiguration,
  checkConfiguration,
  describeOrigin,
  formatProblem,
  options,
  type Problem,
  readText,
  textOf,
} from '@isobar/configuration';
import { readTopology, TopologyError } from '@isobar/topology';
import type { Command } from 'commander';
import { exitCodes } from '../exit-codes.js';
import { table } from '../table.js';
import { type GlobalOptions, print } from './shared.js';

/** Commands that look at a configuration file; they need no deployment. */
export function addConfiguring(program: Command): void {
  const config = program.command('config').description('The configuration file of a deployment.');
  config
    .command('check')
    .argument('<file>', 'YAML file')
    .description('Tells everything that is wrong with a file and with the ISOBAR_ variables.')
    .action((file: string, _, command: Command) => check(file, command));
  config
    .command('show')
    .argument('[file]', 'YAML file; where absent, what holds without one')
    .description('Prints every option as it would hold, and where its value comes from.')
    .action((file: string | undefined, _, command: Command) => show(file, command));
}

async function check(file: string, command: Command): Promise<void> {
  const { json } = command.optsWithGlobals<GlobalOptions>();
  const checked = checkConfiguration(file, await readText(file), process.env);
  const problems = [...checked.problems, ...(await topologyProblems(checked))];
  if (json) print(JSON.stringify({ file, ok: problems.length === 0, problems }));
  else if (problems.length === 0) print(`${file}: nothing is wrong with it`);
  else print(problems.map(formatProblem).join('\n'));
  process.exitCode = problems.length === 0 ? exitCodes.ok : exitCodes.failed;
}

/** Of a topology that has a file of its own. */
async function topologyProblems({ values }: CheckedConfiguration): Promise<Problem[]> {
  const path = values.get('topology');
  if (typeof path !== 'string') return [];
  try {
    await readTopology(path);
    return [];
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    // Its message has file, line, column and field already.
    const nowhere = { file: null, line: null, column: null, variable: null };
    return [{ ...nowhere, field: 'topology', what: error.message }];
  }
}

async function show(file: string | undefined, command: Command): Promise<void> {
  const { json } = command.optsWithGlobals<GlobalOptions>();
  const text = file === undefined ? '' : await readText(file);
  const checked = checkConfiguration(file ?? null, text, process.env);
  const { values, origins } = checked;
  // Without a file, what must be given is no problem.
  const problems = checked.problems.filter(
    ({ field, variable }) => file !== undefined || variable !== null || values.has(field),
  );
  const rows = options.map(({ name, unit }) => {
    const origin = origins.get(name);
    const value = values.get(name) ?? null;
    return { name, value, unit, from: origin === undefined ? 'missing' : describeOrigin(origin) };
  });
  if (json) print(JSON.stringify({ file: file ?? null, options: rows, problems }));
  else print(table(['option', 'value', 'from'], rows.map(rowOf)));
  if (problems.length === 0) return;
  process.stderr.write(`${problems.map(formatProblem).join('\n')}\n`);
  process.exitCode = exitCodes.failed;
}

function rowOf(row: { readonly name: string; readonly value: unknown; readonly from: string }) {
  const { name, value, from } = row;
  const text = typeof value === 'string' ? value : (textOf(value).split('\n')[0] ?? '');
  return [name, from === 'missing' ? '-' : text, from];
}

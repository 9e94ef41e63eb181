import type { Argument, Command, Option } from 'commander';

/** What a shell can offer in the place of a value. */
export type ValueKind =
  | { readonly kind: 'choices'; readonly choices: readonly string[] }
  | { readonly kind: 'file' }
  | { readonly kind: 'folder' }
  | { readonly kind: 'context' }
  | { readonly kind: 'anything' };

export interface CompletedOption {
  /** Such as `-d` and `--deployment`. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Null where it takes none. */
  readonly value: ValueKind | null;
}

export interface CompletedCommand {
  /** Such as `auth init`; empty of isobar itself. */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  /** Its own, and those of the commands above it. */
  readonly options: readonly CompletedOption[];
  /** Of its first argument. */
  readonly argument: ValueKind;
}

const anything: ValueKind = { kind: 'anything' };

/** Every command of a program, those above before those below. */
export function completionTree(program: Command): CompletedCommand[] {
  return commandsOf(program, '', []);
}

function commandsOf(
  command: Command,
  path: string,
  inherited: readonly CompletedOption[],
): CompletedCommand[] {
  const helper = command.createHelp();
  const own = helper.visibleOptions(command).map(optionOf);
  const inForce = own.filter(({ flags }) => !flags.includes('--help'));
  const visible = helper.visibleCommands(command).map((each) => ({
    name: each.name(),
    description: firstSentence(helper.subcommandDescription(each)),
  }));
  const [argument] = command.registeredArguments;
  const completed: CompletedCommand = {
    path,
    subcommands: visible,
    options: [...own, ...inherited],
    argument: path === 'help' ? choices(visible) : argumentOf(argument),
  };
  const below = command.commands.flatMap((each) =>
    commandsOf(each, path === '' ? each.name() : `${path} ${each.name()}`, [
      ...inForce,
      ...inherited,
    ]),
  );
  const help = visible.some(({ name }) => name === 'help') ? [helpOf(path, visible)] : [];
  return [completed, ...help, ...below];
}

/** The help command is not among a program's commands, and takes their names. */
function helpOf(path: string, commands: CompletedCommand['subcommands']): CompletedCommand {
  const own = path === '' ? 'help' : `${path} help`;
  return { path: own, subcommands: [], options: [], argument: choices(commands) };
}

function choices(commands: CompletedCommand['subcommands']): ValueKind {
  const names = commands.map(({ name }) => name).filter((name) => name !== 'help');
  return { kind: 'choices', choices: names };
}

function optionOf(option: Option): CompletedOption {
  const { short, long, description, argChoices, flags, required, optional } = option;
  const named = [short, long].filter((flag): flag is string => flag !== undefined);
  const takesValue = required || optional;
  const value = takesValue ? valueKindOf(option.attributeName(), flags, argChoices) : null;
  return { flags: named, description: firstSentence(description), value };
}

function argumentOf(argument: Argument | undefined): ValueKind {
  if (argument === undefined) return anything;
  return valueKindOf(argument.name(), `<${argument.name()}>`, argument.argChoices);
}

function valueKindOf(
  name: string,
  flags: string,
  offered: readonly string[] | undefined,
): ValueKind {
  if (offered !== undefined) return { kind: 'choices', choices: offered };
  if (name === 'context') return { kind: 'context' };
  if (/<file>/.test(flags)) return { kind: 'file' };
  return /<folder>/.test(flags) ? { kind: 'folder' } : anything;
}

/** What is shown beside a word: short, and without what shells would read as theirs. */
function firstSentence(description: string): string {
  const [first = ''] = description.replace(/ \(default.*/, '').split(/[.:;](?:\s|$)/);
  return first.replaceAll(/[^\p{L}\p{N} ,()/_<>-]/gu, '').slice(0, 70);
}

import type { CompletedCommand, CompletedOption, ValueKind } from './completion-tree.js';
import { contextsFolderByDefault, optionsOf, quoted, valuePatterns } from './shell-words.js';

/** A script that fish reads to complete `isobar`. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`);
  const taking = valuePatterns(commands).map(({ pattern }) => `"${pattern}"`);
  return `# Completion of isobar for fish: isobar completion fish | source

# The command so far, such as "auth init".
function __isobar_path
    set -l path ""
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip -eq 1
            set skip 0
            continue
        end
        if contains -- "$path|$word" ${taking.join(' ')}
            set skip 1
            continue
        end
        set -l next (string trim -- "$path $word")
        if contains -- "$next" ${paths.join(' ')}
            set path "$next"
        end
    end
    echo "$path"
end

function __isobar_at
    test (__isobar_path) = "$argv[1]"
end

function __isobar_contexts
    # Expansions have no default here: XDG_CONFIG_HOME is not looked at.
    for file in ${contextsFolderByDefault}/*.json
        string replace -r '.*/(.*)\\.json$' '$1' -- $file
    end
end

complete -c isobar -f
${commands.flatMap(linesOf).join('\n')}
`;
}

function linesOf(command: CompletedCommand): string[] {
  const { path, subcommands, argument } = command;
  const at = `complete -c isobar -n '__isobar_at "${path}"'`;
  const named = subcommands.map(
    ({ name, description }) => `${at} -a ${quoted(name)} -d ${quoted(description)}`,
  );
  const value = subcommands.length > 0 ? '' : valueWords(argument);
  return [
    ...named,
    ...(value === '' ? [] : [`${at}${value}`]),
    ...optionsOf(command).map((option) => `${at}${flagsOf(option)}`),
  ];
}

function flagsOf({ flags, description, value }: CompletedOption): string {
  const named = flags.map((flag) =>
    flag.startsWith('--') ? ` -l ${flag.slice(2)}` : ` -s ${flag.slice(1)}`,
  );
  const taken = value === null ? '' : ` -r${valueWords(value)}`;
  return `${named.join('')}${taken} -d ${quoted(description)}`;
}

function valueWords(value: ValueKind): string {
  switch (value.kind) {
    case 'choices':
      return ` -a ${quoted(value.choices.join(' '))}`;
    case 'file':
      return ' -F';
    case 'folder':
      return " -a '(__fish_complete_directories)'";
    case 'context':
      return " -a '(__isobar_contexts)'";
    case 'anything':
      return '';
  }
}

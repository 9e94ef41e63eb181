import type { CompletedCommand, ValueKind } from './completion-tree.js';
import { contextsFolder, optionsOf, quoted, valuePatterns } from './shell-words.js';

/** A script that zsh reads to complete `isobar`. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`);
  const values = valuePatterns(commands).map(
    ({ pattern, value }) => `    "${pattern}") [[ -n "$2" ]] || { ${actionOf(value)} } ;;`,
  );
  return `#compdef isobar
# Completion of isobar for zsh: put it as _isobar into a folder of $fpath, or
# eval "$(isobar completion zsh)"

# Offers what a value may be, or with a second argument only says whether there is one.
_isobar_value() {
  case "$1" in
${values.join('\n')}
    *) return 1 ;;
  esac
  return 0
}

_isobar() {
  local route="" word next index=2
  while (( index < CURRENT )); do
    word="\${words[index]}"
    if _isobar_value "$route|$word" ask; then
      (( index++ ))
    else
      next="\${route:+$route }$word"
      case "$next" in
        ${paths.join('|')}) route="$next" ;;
      esac
    fi
    (( index++ ))
  done
  if _isobar_value "$route|\${words[CURRENT-1]}" ask; then
    _isobar_value "$route|\${words[CURRENT-1]}"
    return
  fi
  local -a offered
  case "$route" in
${commands.map(commandCase).join('\n')}
  esac
}

if [[ "\${funcstack[1]}" == _isobar ]]; then _isobar "$@"; else compdef _isobar isobar; fi
`;
}

function actionOf(value: ValueKind): string {
  switch (value.kind) {
    case 'choices':
      return `compadd -- ${value.choices.map(quoted).join(' ')}`;
    case 'file':
      return '_files';
    case 'folder':
      return '_files -/';
    case 'context':
      return `compadd -- "${contextsFolder}"/*.json(N:t:r)`;
    case 'anything':
      return ':';
  }
}

function commandCase(command: CompletedCommand): string {
  const { path, subcommands, argument } = command;
  const described = (name: string, description: string) => quoted(`${name}:${description}`);
  const options = optionsOf(command).flatMap(({ flags, description }) =>
    flags.map((flag) => described(flag, description)),
  );
  const words = subcommands.map(({ name, description }) => described(name, description));
  const plain =
    words.length > 0
      ? `offered=(${words.join(' ')}); _describe command offered`
      : actionOf(argument);
  return `    "${path}")
      if [[ "\${words[CURRENT]}" == -* ]]; then
        offered=(${options.join(' ')}); _describe option offered
      else ${plain}
      fi ;;`;
}

import type { CompletedCommand, ValueKind } from './completion-tree.js';
import { contextsFolder, optionsOf, valuePatterns } from './shell-words.js';

/** A script that bash reads to complete `isobar`. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`);
  return `# Completion of isobar for bash: eval "$(isobar completion bash)"

# Offers what a value may be; $1 is the word so far.
_isobar_value() {
  case "$2" in
${valueCases(valuePatterns(commands))}
    *) return 1 ;;
  esac
}

_isobar() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local path="" word next index=1
  while (( index < COMP_CWORD )); do
    word="\${COMP_WORDS[index]}"
    if _isobar_value "" "$path|$word"; then
      (( index++ ))
    else
      next="\${path:+$path }$word"
      case "$next" in
        ${paths.join('|')}) path="$next" ;;
      esac
    fi
    (( index++ ))
  done
  COMPREPLY=()
  if _isobar_value "$current" "$path|$previous"; then return; fi
  case "$path" in
${commands.map(commandCase).join('\n')}
  esac
}

complete -F _isobar isobar
`;
}

function valueCases(
  patterns: readonly { readonly pattern: string; readonly value: ValueKind }[],
): string {
  const byAction = new Map<string, string[]>();
  for (const { pattern, value } of patterns) {
    const action = actionOf(value);
    byAction.set(action, [...(byAction.get(action) ?? []), `"${pattern}"`]);
  }
  return [...byAction].map(([action, of]) => `    ${of.join('|')}) ${action} ;;`).join('\n');
}

function actionOf(value: ValueKind): string {
  const reply = (words: string) => `mapfile -t COMPREPLY < <(compgen ${words} -- "$1")`;
  switch (value.kind) {
    case 'choices':
      return reply(`-W "${value.choices.join(' ')}"`);
    case 'file':
      return `compopt -o filenames 2>/dev/null; ${reply('-f')}`;
    case 'folder':
      return `compopt -o filenames 2>/dev/null; ${reply('-d')}`;
    case 'context':
      return reply(`-W "$(command ls "${contextsFolder}" 2>/dev/null | sed 's/\\.json$//')"`);
    case 'anything':
      return 'COMPREPLY=()';
  }
}

function commandCase(command: CompletedCommand): string {
  const { path, subcommands, argument } = command;
  const flags = optionsOf(command).flatMap(({ flags: of }) => of);
  const words = subcommands.map(({ name }) => name);
  const plain =
    words.length > 0 ? actionOf({ kind: 'choices', choices: words }) : actionOf(argument);
  return `    "${path}")
      set -- "$current"
      if [[ "$current" == -* ]]; then ${actionOf({ kind: 'choices', choices: flags })}
      else ${plain}
      fi ;;`;
}

import type { CompletedCommand, CompletedOption, ValueKind } from './completion-tree.js';

/** A word as any shell reads it. */
export function quoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Options that the command and those above it have, each once. */
export function optionsOf({ options }: CompletedCommand): CompletedOption[] {
  const seen = new Set<string>();
  return options.filter(({ flags }) => {
    const key = flags.join();
    return !seen.has(key) && seen.add(key);
  });
}

/** `PATH|FLAG` patterns of options that take a value, with what the value is. */
export function valuePatterns(
  commands: readonly CompletedCommand[],
): { readonly pattern: string; readonly value: ValueKind }[] {
  return commands.flatMap((command) =>
    optionsOf(command).flatMap(({ flags, value }) =>
      value === null ? [] : flags.map((flag) => ({ pattern: `${command.path}|${flag}`, value })),
    ),
  );
}

/** Where the stock `nats` client keeps its contexts; listed by the shell when it is asked. */
export const contextsFolder = `\${XDG_CONFIG_HOME:-$HOME/.config}/nats/context`;
export const contextsFolderByDefault = '$HOME/.config/nats/context';

import { Argument, type Command } from 'commander';
import { bashCompletion } from './bash.js';
import { type CompletedCommand, completionTree } from './completion-tree.js';
import { fishCompletion } from './fish.js';
import { zshCompletion } from './zsh.js';

const scripts = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
} as const satisfies Readonly<Record<string, (commands: readonly CompletedCommand[]) => string>>;

export type Shell = keyof typeof scripts;
export const shells = Object.keys(scripts) as readonly Shell[];

/** The script by which a shell completes a program's commands, options and their values. */
export function completionScript(program: Command, shell: Shell): string {
  return scripts[shell](completionTree(program));
}

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('Prints a script by which a shell completes commands, options and their values.')
    .addArgument(new Argument('<shell>', 'shell that will read it').choices(shells))
    .action((shell: Shell) => {
      process.stdout.write(completionScript(program, shell));
    });
}

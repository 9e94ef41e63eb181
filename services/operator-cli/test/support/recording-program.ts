import type { Command } from 'commander';
import { addDemo } from '../../src/demo/demo-command.js';
import { pathOf } from '../../src/help/format-help.js';
import { createProgram } from '../../src/program.js';

/** Commands that do something themselves. */
export function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

/** The program with every action replaced by one that only says which it was. */
export function recording(called: string[]): Command {
  const program = createProgram([addDemo]);
  for (const command of leaves(program)) {
    command.action(() => {
      called.push(pathOf(command));
    });
  }
  return program;
}

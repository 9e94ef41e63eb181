import { createInterface } from 'node:readline';

/** Somebody sits at the terminal who can read a question and answer it. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/**
 * Asks on standard error; only y or yes is one.
 * @returns `interrupted`: Ctrl-C
 */
export function confirm(question: string): Promise<'yes' | 'no' | 'interrupted'> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    lines.once('SIGINT', () => {
      resolve('interrupted');
      lines.close();
    });
    lines.once('close', () => resolve('no'));
    lines.question(`${question} [y/N] `, (answer) => {
      resolve(/^y(es)?$/i.test(answer.trim()) ? 'yes' : 'no');
      lines.close();
    });
  });
}

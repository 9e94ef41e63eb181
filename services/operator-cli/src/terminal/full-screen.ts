import { writeSync } from 'node:fs';
import { emitKeypressEvents } from 'node:readline';

const enter = '\u001b[?1049h\u001b[?25l';
const leave = '\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
const clearToLineEnd = '\u001b[K';
const clearBelow = '\u001b[J';

export interface FullScreenOptions {
  /** A letter, or the name of a key such as `up`; `interrupt` is Ctrl-C. */
  readonly onKey: (key: string) => void;
  readonly onResize: () => void;
}

/**
 * The whole terminal, on its alternate screen. It is given back by `close`, and whenever the process
 * ends: by a signal that somebody handles, by `process.exit`, and before an uncaught error is told.
 */
export class FullScreen {
  readonly #options: FullScreenOptions;
  readonly #restore = () => this.close();
  readonly #resize = () => this.#options.onResize();
  readonly #key = (text: string | undefined, key: { name?: string; ctrl?: boolean }) => {
    const isInterrupt = key.ctrl === true && key.name === 'c';
    const name = key.ctrl === true ? `ctrl-${key.name}` : (text ?? key.name ?? '');
    this.#options.onKey(isInterrupt ? 'interrupt' : keyName(name, key.name));
  };
  #isOpen = true;

  constructor(options: FullScreenOptions) {
    this.#options = options;
    process.once('exit', this.#restore);
    process.once('uncaughtExceptionMonitor', this.#restore);
    process.stdout.on('resize', this.#resize);
    emitKeypressEvents(process.stdin);
    process.stdin.setRawMode(true);
    process.stdin.on('keypress', this.#key);
    process.stdin.resume();
    process.stdout.write(enter);
  }

  get columns(): number {
    return process.stdout.columns;
  }

  get rows(): number {
    return process.stdout.rows;
  }

  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    const text = lines.map((line) => `${line}${clearToLineEnd}`).join('\r\n');
    process.stdout.write(`${home}${text}${clearBelow}`);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off('exit', this.#restore);
    process.off('uncaughtExceptionMonitor', this.#restore);
    process.stdout.off('resize', this.#resize);
    process.stdin.off('keypress', this.#key);
    process.stdin.setRawMode(false);
    process.stdin.pause();
    // At once: the process may be about to end.
    writeSync(process.stdout.fd, leave);
  }
}

/** Keys without a character of their own by their name. */
function keyName(text: string, name: string | undefined): string {
  return text.length === 1 && text >= ' ' ? text : (name ?? text);
}

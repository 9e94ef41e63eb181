/** Lines at the end of a terminal's output that are drawn anew in place. */
export class RedrawnLines {
  readonly #stream: NodeJS.WriteStream;
  #linesDrawn = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** @param lines each no wider than the terminal */
  draw(lines: readonly string[]): void {
    this.erase();
    this.#stream.write(`${lines.join('\n')}\n`);
    this.#linesDrawn = lines.length;
  }

  erase(): void {
    // To the first column: a key such as Ctrl-C may have been echoed.
    if (this.#linesDrawn > 0) this.#stream.write(`\r\u001b[${this.#linesDrawn}A\u001b[0J`);
    this.#linesDrawn = 0;
  }

  /** Leaves the last drawing behind. */
  keep(): void {
    this.#linesDrawn = 0;
  }
}

import { IsobarError } from '@isobar/protocol';

/**
 * For messages that may be too large for the server, and are sent again and again: one that is does
 * not end who sends it, and is told once.
 */
export class OversizeAlarm {
  readonly #onOversize: (error: IsobarError) => void;
  readonly #told = new Set<string>();

  constructor(onOversize: (error: IsobarError) => void) {
    this.#onOversize = onOversize;
  }

  /**
   * @param kind told once each: of a bounded number
   * @throws whatever `send` throws but ISOBAR_BUS_PAYLOAD_TOO_LARGE
   */
  watch(kind: string, send: () => void): void {
    try {
      send();
    } catch (error) {
      if (!(error instanceof IsobarError) || error.code !== 'ISOBAR_BUS_PAYLOAD_TOO_LARGE') {
        throw error;
      }
      if (this.#told.has(kind)) return;
      this.#told.add(kind);
      this.#onOversize(error);
    }
  }

  /** Tells all once more. */
  reset(): void {
    this.#told.clear();
  }
}

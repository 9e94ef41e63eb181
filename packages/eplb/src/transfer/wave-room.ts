/** Bytes that a wave's layers and moves may take, and those that each of them takes. */
export interface WaveRoom {
  readonly bytesMax: number;
  readonly layerBytes: number;
  readonly moveBytes: number;
}

/** What is left of a wave's room while it is filled: a layer's row is told once, whatever changes in it. */
export class RoomLeft {
  readonly #room: WaveRoom | null;
  readonly #layers = new Set<number>();
  #bytesLeft: number;
  #isEmpty = true;

  /** @param room null: no limit */
  constructor(room: WaveRoom | null) {
    this.#room = room;
    this.#bytesLeft = room?.bytesMax ?? Number.POSITIVE_INFINITY;
  }

  /** Whether these moves into a layer have room. What alone is too large does in an empty wave: it can't be cut. */
  fits(layer: number, moves: number): boolean {
    return this.#isEmpty || this.#bytesOf(layer, moves) <= this.#bytesLeft;
  }

  take(layer: number, moves: number): void {
    this.#bytesLeft -= this.#bytesOf(layer, moves);
    this.#layers.add(layer);
    this.#isEmpty = false;
  }

  /** Moves into rows that stay as they are. */
  takeMoves(moves: number): void {
    if (moves === 0) return;
    this.#bytesLeft -= moves * (this.#room?.moveBytes ?? 0);
    this.#isEmpty = false;
  }

  #bytesOf(layer: number, moves: number): number {
    if (this.#room === null) return 0;
    const { layerBytes, moveBytes } = this.#room;
    return (this.#layers.has(layer) ? 0 : layerBytes) + moves * moveBytes;
  }
}

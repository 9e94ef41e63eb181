import { IsobarError } from '@isobar/protocol';

/** Length of a frame's head: the body's length, big-endian. */
export const frameHeadBytes = 4;
/** Largest body that either side sends or accepts, 16 MiB. */
export const frameBytesMax = 16 * 1024 * 1024;

/**
 * One frame: four bytes of length, then the body.
 * @throws IsobarError ISOBAR_ENGINE_FRAME_TOO_LARGE
 */
export function encodeFrame(body: Uint8Array): Buffer {
  assertFits(body.byteLength, frameBytesMax);
  const frame = Buffer.allocUnsafe(frameHeadBytes + body.byteLength);
  frame.writeUInt32BE(body.byteLength, 0);
  frame.set(body, frameHeadBytes);
  return frame;
}

function assertFits(bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new IsobarError(
    'ISOBAR_ENGINE_FRAME_TOO_LARGE',
    `a frame of ${bytes} bytes is over the limit of ${bytesMax}`,
    { bytes, bytesMax },
  );
}

/** Cuts a byte stream into frames. A body is handed over in memory of its own. */
export class FrameReader {
  readonly #onFrame: (body: Uint8Array) => void;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** Of the frame being read; −1 while its head is. */
  #bodyBytes = -1;
  /** Largest body that is read from the next frame on. */
  bytesMax: number;

  constructor(onFrame: (body: Uint8Array) => void, bytesMax = frameBytesMax) {
    this.#onFrame = onFrame;
    this.bytesMax = bytesMax;
  }

  /** @throws IsobarError ISOBAR_ENGINE_FRAME_TOO_LARGE: the stream can't be read further */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.byteLength;
    for (;;) {
      if (this.#bodyBytes < 0) {
        if (this.#buffered < frameHeadBytes) return;
        const head = this.#take(frameHeadBytes);
        const bodyBytes = new DataView(head.buffer).getUint32(0);
        assertFits(bodyBytes, this.bytesMax);
        this.#bodyBytes = bodyBytes;
      }
      if (this.#buffered < this.#bodyBytes) return;
      const body = this.#take(this.#bodyBytes);
      this.#bodyBytes = -1;
      this.#onFrame(body);
    }
  }

  /** Copied, so that the body starts at offset 0 of its buffer and no pool is kept alive. */
  #take(bytes: number): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) throw new Error('frame reader took more than it has');
      const part = chunk.subarray(0, bytes - filled);
      taken.set(part, filled);
      filled += part.byteLength;
      if (part.byteLength === chunk.byteLength) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.byteLength);
    }
    this.#buffered -= bytes;
    return taken;
  }
}

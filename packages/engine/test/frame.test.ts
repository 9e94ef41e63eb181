import {
  encodeFrame,
  FrameReader,
  formatEngineAddress,
  frameBytesMax,
  parseEngineAddress,
} from '@isobar/engine';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('frames', () => {
  it('come whole and in order, however the stream is cut', () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
    fc.assert(
      fc.property(bodies, fc.integer({ min: 1, max: 17 }), (sent, chunkBytes) => {
        const received: Uint8Array[] = [];
        const reader = new FrameReader((body) => received.push(body));
        const stream = Buffer.concat(sent.map((body) => encodeFrame(body)));
        for (let at = 0; at < stream.length; at += chunkBytes) {
          reader.push(stream.subarray(at, at + chunkBytes));
        }
        expect(received).toEqual(sent);
      }),
    );
  });

  it('over the limit are refused at their head', () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(frameBytesMax + 1);
    const reader = new FrameReader(() => undefined);
    expect(() => reader.push(head)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_ENGINE_FRAME_TOO_LARGE' }),
    );
  });
});

describe('engine addresses', () => {
  it.each(['unix:/run/engine-0.sock', 'tcp://127.0.0.1:7400', 'tcp://[::1]:7400'])(
    '%s is read and written',
    (address) => {
      expect(formatEngineAddress(parseEngineAddress(address))).toBe(address);
    },
  );

  it.each([
    '',
    'unix:',
    `unix:/${'x'.repeat(103)}`,
    'tcp://host',
    'tcp://host:70000',
    'http://a:1',
  ])('%j is refused', (address) => {
    expect(() => parseEngineAddress(address)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_ENGINE_ADDRESS' }),
    );
  });
});

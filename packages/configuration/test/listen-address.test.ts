import { describe, expect, it } from 'vitest';
import { parseListenAddress } from '../src/listen-address.js';

describe('an address to listen on', () => {
  it.each([
    ['127.0.0.1:9480', '127.0.0.1', 9480],
    ['[::]:0', '::', 0],
    ['node-1.example:65535', 'node-1.example', 65_535],
  ])('%s', (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  it.each(['', ':9480', 'host', 'host:', 'host:65536', 'a b:1', '::1:80', 'http://h:80'])(
    'is not %s',
    (text) => {
      expect(parseListenAddress(text)).toBeNull();
    },
  );
});

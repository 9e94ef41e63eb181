import { expect, it } from 'vitest';
import { probeUrl } from '../src/health.js';

it.each([
  ['127.0.0.1:9480', 'http://127.0.0.1:9480/readyz'],
  ['0.0.0.0:9480', 'http://127.0.0.1:9480/readyz'],
  ['[::]:9480', 'http://[::1]:9480/readyz'],
  ['[::1]:80', 'http://[::1]/readyz'],
  ['node-1.internal:9480', 'http://node-1.internal:9480/readyz'],
])('a service that listens on %s is asked at %s', (listen, url) => {
  expect(probeUrl(listen, 'readyz').href).toBe(url);
});

it('a placeholder is no address', () => {
  expect(() => probeUrl('127.0.0.1:948{localRank}', 'livez')).toThrow(TypeError);
});

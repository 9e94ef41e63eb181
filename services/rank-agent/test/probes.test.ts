import { expect, it } from 'vitest';
import { lackingOf } from '../src/probes.js';

const bus = { connected: true } as never;
const intake = {} as never;

it('is not ready before it knows what it has promised', () => {
  expect(lackingOf({ bus: null, agent: null, intake })).toEqual(['a NATS server', 'its state']);
  expect(lackingOf({ bus, agent: null, intake })).toEqual(['its state']);
});

it('is not ready without its engine, or space for its state', () => {
  const agentOf = (engine: object | null, isDiskFull: boolean) => ({ engine, isDiskFull }) as never;
  expect(lackingOf({ bus, agent: agentOf(null, true), intake })).toEqual([
    'space for its state',
    'its engine',
  ]);
  expect(lackingOf({ bus, agent: agentOf({}, false), intake })).toEqual([]);
});

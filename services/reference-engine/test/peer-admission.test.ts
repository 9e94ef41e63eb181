import { describe, expect, it } from 'vitest';
import { type AdmissionGround, refusalOf } from '../src/peer-admission.js';
import type { PeerGreeting } from '../src/peer-greeting.js';
import { greetingOf } from './fake-link.js';

const first = '1111111111111111';
const second = '2222222222222222';
const nobody = { met: [], connected: new Set<string>() };

function peer(changes: Partial<PeerGreeting> = {}): PeerGreeting {
  return greetingOf(3, { incarnation: first, standing: 'serving', step: 5, ...changes });
}

function ground(changes: Partial<AdmissionGround> = {}): AdmissionGround {
  const members = [{ rank: 3, incarnation: first }];
  return { standing: 'serving', cuts: [], members, ...changes };
}

describe('an engine that is greeted', () => {
  it('refuses an incarnation that it has cut, whatever that says of itself', () => {
    const cuts = [{ rank: 3, incarnation: first }];
    for (const standing of ['starting', 'joining', 'serving', 'stopped'] as const) {
      expect(refusalOf(peer({ standing }), ground({ cuts }), nobody)).toContain('cut off');
    }
    expect(
      refusalOf(peer({ incarnation: second, standing: 'joining' }), ground({ cuts }), nobody),
    ).toBeNull();
  });

  it('refuses one that serves and is not listed, and welcomes one that joins', () => {
    const stranger = { incarnation: second };
    expect(refusalOf(peer(stranger), ground(), nobody)).toContain('does not list');
    for (const standing of ['starting', 'joining'] as const) {
      expect(refusalOf(peer({ ...stranger, standing }), ground(), nobody)).toBeNull();
    }
    expect(refusalOf(peer(stranger), ground({ members: null }), nobody)).toBeNull();
    expect(refusalOf(peer(stranger), ground({ standing: 'joining' }), nobody)).toBeNull();
  });

  it('refuses one that has stopped', () => {
    expect(refusalOf(peer({ standing: 'stopped' }), ground(), nobody)).toContain('stopped');
  });

  it('refuses an older incarnation while a newer one of its rank is connected', () => {
    const met = [first, second];
    const old = peer();
    expect(refusalOf(old, ground(), { met, connected: new Set([second]) })).toContain('newer');
    expect(refusalOf(old, ground(), { met, connected: new Set() })).toBeNull();
    const young = peer({ incarnation: second, standing: 'joining' });
    expect(refusalOf(young, ground(), { met, connected: new Set([first]) })).toBeNull();
  });
});

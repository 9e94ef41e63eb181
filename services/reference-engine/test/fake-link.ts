import type { PeerGreeting } from '../src/peer-greeting.js';
import { PeerLink } from '../src/peer-link.js';

export function greetingOf(rank: number, changes: Partial<PeerGreeting> = {}): PeerGreeting {
  return {
    schema: 1,
    kind: 'greeting',
    purpose: 'forward',
    rank,
    incarnation: `${rank}`.repeat(16),
    standing: 'starting',
    step: -1,
    committedVersion: 0,
    ...changes,
  };
}

/** A link whose frames go nowhere but into `sent`. */
export function fakeLink(rank: number, changes: Partial<PeerGreeting> = {}) {
  const sent: Uint8Array[] = [];
  const socket = {
    isOpen: true,
    send: (body: Uint8Array) => {
      sent.push(body);
    },
    sent: () => Promise.resolve(),
    close: () => {
      socket.isOpen = false;
    },
  };
  return { link: new PeerLink(greetingOf(rank, changes), socket), sent };
}

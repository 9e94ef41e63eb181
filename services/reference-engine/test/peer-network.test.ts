import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrame } from '@isobar/engine';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesPerExpert, numbersPerExpert } from '../src/model-shape.js';
import { encodeGreeting, type PeerGreeting } from '../src/peer-greeting.js';
import type { PeerLink } from '../src/peer-link.js';
import { PeerNetwork, type PeerNetworkOptions } from '../src/peer-network.js';
import { WakeUp } from '../src/wake-up.js';
import { fetchWeights } from '../src/weight-transfer.js';
import { greetingOf } from './fake-link.js';

let directory = '';
const opened: PeerNetwork[] = [];
const socketPath = (rank: number) => join(directory, `${rank}.sock`);

/** A network, and all that it has told. */
class Told {
  readonly network: PeerNetwork;
  readonly links: PeerLink[] = [];
  readonly lost: PeerLink[] = [];
  readonly frames: string[] = [];
  readonly refusals: string[] = [];
  readonly #changed = new WakeUp();

  constructor(greeting: PeerGreeting, changes: Partial<PeerNetworkOptions> = {}) {
    const tell = (act: () => unknown) => {
      act();
      this.#changed.raise();
    };
    this.network = new PeerNetwork({
      rank: greeting.rank,
      numRanks: 3,
      socketPath,
      greeting: () => greeting,
      refusal: () => null,
      weights: () => null,
      onLink: (link) => tell(() => this.links.push(link)),
      onFrame: (link, body) =>
        tell(() => this.frames.push(`${link.rank}: ${Buffer.from(body).toString()}`)),
      onLost: (link) => tell(() => this.lost.push(link)),
      onRefused: (error) => tell(() => this.refusals.push(error.message)),
      ...changes,
    });
    opened.push(this.network);
  }

  async until(isMet: (told: Told) => boolean): Promise<void> {
    while (!isMet(this)) await this.#changed.next();
  }
}

async function started(
  greeting: PeerGreeting,
  changes: Partial<PeerNetworkOptions> = {},
): Promise<Told> {
  const told = new Told(greeting, changes);
  await told.network.start();
  return told;
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-peers-'));
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((network) => network.close()));
  await rm(directory, { recursive: true });
});

describe('peers', () => {
  it('greet both ways, and frames follow in order', async () => {
    const greetings = [0, 1].map((rank) => greetingOf(rank, { standing: 'serving', step: rank }));
    const [low, high] = await Promise.all(greetings.map((greeting) => started(greeting)));
    await low?.until(({ links }) => links.length > 0);
    for (const text of ['a', 'b', 'c']) low?.links[0]?.send(Buffer.from(text));
    await high?.until(({ frames }) => frames.length === 3);
    expect(high?.frames).toEqual(['0: a', '0: b', '0: c']);
    expect([low?.links[0]?.greeting, high?.links[0]?.greeting]).toEqual([
      greetings[1],
      greetings[0],
    ]);
  });

  it('are dialled again when they have restarted', async () => {
    const low = await started(greetingOf(0));
    const high = await started(greetingOf(1));
    await high.until(({ links }) => links.length === 1);
    await low.network.close();
    await high.until(({ lost }) => lost.length === 1);
    expect(high.lost[0]?.isOpen).toBe(false);
    expect(high.network.links).toEqual([]);
    const incarnation = 'ffffffffffffffff';
    await started(greetingOf(0, { incarnation }));
    await high.until(({ links }) => links.length === 2);
    expect(high.links[1]?.incarnation).toBe(incarnation);
  });

  it('are refused with a reason, by the one that is dialled and by the one that dials', async () => {
    const refusal = () => 'not today';
    await started(greetingOf(0), { refusal });
    const high = await started(greetingOf(1));
    await high.until(({ refusals }) => refusals.length > 0);
    expect(high.refusals[0]).toBe('rank 0 refuses this engine: not today');
    const higher = await started(greetingOf(2), {
      refusal: ({ rank }) => (rank === 1 ? 'nor that one' : null),
    });
    await higher.until(({ refusals }) => refusals.some((text) => text.startsWith('rank 1 is')));
    expect(higher.refusals).toContain('rank 1 is refused: nor that one');
    await high.until(({ lost }) => lost.length === 1);
    expect([high, higher].map(({ network }) => network.links)).toEqual([[], []]);
  });

  it('are known by the order of their incarnations', async () => {
    const asked: unknown[] = [];
    const refusal: PeerNetworkOptions['refusal'] = (peer, { met, connected }) => {
      asked.push([peer.incarnation[0], met.map(([digit]) => digit), connected.size]);
      return null;
    };
    const low = await started(greetingOf(0), { refusal });
    for (const digit of ['1', '2', '1']) {
      const socket = connect(socketPath(0));
      const incarnation = digit.repeat(16);
      socket.write(encodeFrame(encodeGreeting(greetingOf(1, { incarnation }))));
      const { length } = low.links;
      await low.until(({ links }) => links.length > length);
      if (digit === '1') continue;
      socket.destroy();
      await low.until(({ lost }) => lost.length === 1);
    }
    expect(asked).toEqual([
      ['1', [], 0],
      ['2', ['1'], 1],
      ['1', ['1', '2'], 1],
    ]);
    // The first connection of that incarnation has given way to the second.
    expect(low.network.links).toEqual([low.links[2]]);
    expect(low.lost).toEqual([low.links[1], low.links[0]]);
  });

  it('that can not be understood are left, and others served', async () => {
    const low = await started(greetingOf(0));
    const socket = connect(socketPath(0));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(encodeFrame(Buffer.from('hello')));
    await closed;
    await started(greetingOf(1));
    await low.until(({ links }) => links.length === 1);
    expect(low.refusals).toHaveLength(1);
  });

  it('fetch weights, and are told of what is not held', async () => {
    const held = new Float64Array(numbersPerExpert).fill(7);
    const weights = (_: number, expert: number) => (expert === 5 ? held : null);
    await started(greetingOf(0), { weights });
    const fetch = async (expert: number) => {
      const into = new Float64Array(numbersPerExpert);
      const signal = new AbortController().signal;
      const fetches = [{ layer: 0, expert, into }];
      const greeting = greetingOf(1, { purpose: 'weights' });
      await fetchWeights(socketPath(0), greeting, fetches, signal, async () => undefined);
      return into;
    };
    expect(await fetch(5)).toEqual(held);
    expect(held.byteLength).toBe(bytesPerExpert);
    await expect(fetch(6)).rejects.toMatchObject({ code: 'ISOBAR_ENGINE_TRANSFER_FAILED' });
  });
});

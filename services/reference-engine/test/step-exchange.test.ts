import { describe, expect, it } from 'vitest';
import { decodeForwardFrame } from '../src/forward-frames.js';
import {
  type Exchange,
  ExchangeWorld,
  emptyDispatch,
  emptyResults,
  flush,
} from './exchange-world.js';

function begin(world: ExchangeWorld, rank: number, step: number): Exchange {
  const exchange = world.exchange(rank);
  exchange.begin(step, world.linksOf(rank));
  return exchange;
}

function sendLayer(exchange: Exchange, layer: number): void {
  exchange.send(layer, () => emptyDispatch(exchange.step, layer, exchange.attempt));
}

/** Whether a promise has been kept, after all that could go on has. */
async function isKept(promise: Promise<unknown>): Promise<boolean> {
  let kept = false;
  void promise.then(() => {
    kept = true;
  });
  await flush();
  return kept;
}

/** Takes a layer to its end, and answers what came. */
async function runLayer(exchange: Exchange, layer: number): Promise<void> {
  sendLayer(exchange, layer);
  if (exchange.awaitsDispatches(layer)) {
    const gathered = await exchange.gatherDispatches(layer);
    for (const [link, dispatch] of gathered) exchange.reply(link, emptyResults(dispatch));
  }
  await exchange.gatherResults();
}

describe('a layer among ranks that are in step', () => {
  it('is not gathered before every peer has sent its tokens', async () => {
    const world = new ExchangeWorld(3);
    world.connect(0, 1);
    world.connect(0, 2);
    const exchange = begin(world, 0, 0);
    sendLayer(exchange, 0);
    const gathered = exchange.gatherDispatches(0);
    sendLayer(begin(world, 1, 0), 0);
    await world.settle();
    expect(await isKept(gathered)).toBe(false);
    sendLayer(begin(world, 2, 0), 0);
    await world.settle();
    expect((await gathered).size).toBe(2);
  });

  it('waits no longer for a connection that has ended, and keeps what that had brought', async () => {
    const world = new ExchangeWorld(3);
    const first = world.connect(0, 1);
    const second = world.connect(0, 2);
    const exchange = begin(world, 0, 0);
    sendLayer(exchange, 0);
    sendLayer(begin(world, 1, 0), 0);
    await world.settle();
    const gathered = exchange.gatherDispatches(0);
    world.break(first);
    expect(await isKept(gathered)).toBe(false);
    world.break(second);
    expect([...(await gathered).keys()]).toEqual([first.ends[0]]);
    expect((await exchange.gatherResults()).size).toBe(0);
  });

  it('takes results of a peer that has gone since, and of no layer before', async () => {
    const world = new ExchangeWorld(2);
    const connection = world.connect(0, 1);
    const exchange = begin(world, 0, 0);
    const peer = begin(world, 1, 0);
    const layers = Promise.all([runLayer(exchange, 0), runLayer(peer, 0)]);
    await world.settle();
    await layers;
    sendLayer(exchange, 1);
    world.break(connection);
    expect((await exchange.gatherDispatches(1)).size).toBe(0);
    expect((await exchange.gatherResults()).size).toBe(0);
  });
});

describe('ranks that are not in step', () => {
  it('answer at once what belongs to a step gone by', async () => {
    const world = new ExchangeWorld(2);
    const [behind] = world.connect(0, 1).ends;
    begin(world, 1, 7);
    const exchange = begin(world, 0, 5);
    const layer = runLayer(exchange, 0);
    await world.settle();
    expect(await isKept(layer)).toBe(true);
    expect(behind.isOpen).toBe(true);
  });

  it('wait where they are ahead', async () => {
    const world = new ExchangeWorld(2);
    world.connect(0, 1);
    const behind = begin(world, 0, 5);
    const ahead = runLayer(begin(world, 1, 6), 0);
    const layer = runLayer(behind, 0);
    await world.settle();
    expect(await isKept(layer)).toBe(true);
    expect(await isKept(ahead)).toBe(false);
    begin(world, 0, behind.nextStep);
    const next = runLayer(behind, 0);
    await world.settle();
    expect(await isKept(next)).toBe(true);
    expect(await isKept(ahead)).toBe(true);
  });

  it('leap to a step far ahead, and take a near one in its turn', async () => {
    const world = new ExchangeWorld(2);
    world.connect(0, 1);
    const behind = begin(world, 0, 5);
    for (const [ahead, next] of [
      [7, 6],
      [8, 8],
      [90, 90],
    ] as const) {
      sendLayer(begin(world, 1, ahead), 0);
      await world.settle();
      expect(behind.nextStep).toBe(next);
    }
  });

  it('answer while they rest, also what had waited, and begin above it', async () => {
    const world = new ExchangeWorld(2);
    world.connect(0, 1);
    const exchange = begin(world, 0, 9);
    const layer = runLayer(exchange, 0);
    await world.settle();
    expect(await isKept(layer)).toBe(false);
    const resting = world.exchange(1);
    resting.rest();
    await world.settle();
    expect(await isKept(layer)).toBe(true);
    expect(resting.nextStep).toBe(10);
  });

  it('are waited for in the step after one in which they had no tokens', async () => {
    const world = new ExchangeWorld(2);
    world.connect(0, 1);
    const exchange = begin(world, 0, 0);
    const resting = world.exchange(1);
    resting.rest();
    const first = runLayer(exchange, 0);
    await world.settle();
    await first;
    begin(world, 1, resting.nextStep);
    begin(world, 0, exchange.nextStep);
    sendLayer(exchange, 0);
    await world.settle();
    expect(await isKept(exchange.gatherDispatches(0))).toBe(false);
  });

  it('end the connection of a peer that runs ahead without end', () => {
    const world = new ExchangeWorld(2);
    const [, link] = world.connect(0, 1).ends;
    const exchange = begin(world, 1, 0);
    const flood = () => {
      for (let layer = 0; layer < 20; layer += 1) exchange.receive(link, emptyDispatch(1, layer));
    };
    expect(flood).toThrow(expect.objectContaining({ code: 'ISOBAR_ENGINE_PEER_MALFORMED' }));
  });
});

describe('a step that is done anew', () => {
  it('ignores results of the attempt before, and asks for no tokens twice', async () => {
    const world = new ExchangeWorld(2);
    world.connect(0, 1);
    const exchange = begin(world, 0, 0);
    const peer = begin(world, 1, 0);
    sendLayer(exchange, 0);
    sendLayer(peer, 0);
    await world.settle();
    await exchange.gatherDispatches(0);
    exchange.restart();
    expect(exchange.awaitsDispatches(0)).toBe(false);
    sendLayer(exchange, 0);
    const results = exchange.gatherResults();
    for (const [link, dispatch] of await peer.gatherDispatches(0)) {
      peer.reply(link, emptyResults(dispatch));
    }
    // Answers the first attempt, which had come before.
    await world.settle();
    expect([...(await results).values()]).toMatchObject([{ attempt: 1, passive: true }]);
  });

  it('tells its attempt, so that the answer can be told from that of the one before', () => {
    const world = new ExchangeWorld(2);
    const [link] = world.connect(0, 1).ends;
    const exchange = begin(world, 0, 3);
    exchange.restart();
    sendLayer(exchange, 0);
    const [body = new Uint8Array(0)] = link.queue;
    expect(decodeForwardFrame(body)).toMatchObject({ kind: 'dispatch', step: 3, attempt: 1 });
  });
});

import { ExpertMapping } from '@isobar/eplb';
import { beforeEach, describe, expect, it } from 'vitest';
import { misroutedMark } from '../src/checksum.js';
import { ExpertServer } from '../src/expert-server.js';
import {
  type Dispatch,
  decodeForwardFrame,
  encodeResults,
  type Results,
  Service,
} from '../src/forward-frames.js';
import { ForwardPass, type StepEnd } from '../src/forward-pass.js';
import { LoadCounter } from '../src/load-counter.js';
import { hiddenSize } from '../src/model-shape.js';
import { Pacer } from '../src/pacer.js';
import { PeerLink } from '../src/peer-link.js';
import { ReplicaRouter } from '../src/replica-router.js';
import { Residency } from '../src/residency.js';
import { StepExchange } from '../src/step-exchange.js';
import { greetingOf } from './fake-link.js';

const model = { numLayers: 2, numExperts: 2, topK: 1 };
/** Rank 0 holds expert 0, rank 1 expert 1. */
const mapping = ExpertMapping.contiguous({
  numLayers: model.numLayers,
  numLogicalExperts: model.numExperts,
  numRanks: 2,
  numPhysicalExperts: 2,
});
const own = { mappingVersion: 1, readyVersion: 1, stopping: false };

/** The answer of a peer that has no tokens of its own. */
function answerTo(dispatch: Dispatch, service: number, mappingVersion: number): Results {
  const { numEntries } = dispatch;
  return {
    ...dispatch,
    mappingVersion,
    kind: 'results',
    passive: true,
    numEntries,
    outputs: new Float64Array(numEntries * hiddenSize).fill(0.5),
    service: new Uint8Array(numEntries).fill(service),
  };
}

/** One rank whose only peer is played by the test. */
function rankZero(
  activation: 'two-table' | 'in-place',
  peerAnswers: (dispatch: Dispatch) => Results,
  followers: { follow: (version: number) => boolean; mappingVersion: () => number },
) {
  const memory = { spareBuffers: 0, reserveBuffers: 0, startMapping: mapping };
  const residency = new Residency({ rank: 0, activation, ...memory });
  const counter = new LoadCounter(0, greetingOf(0).incarnation, mapping);
  const server = new ExpertServer({ activation, residency, counter });
  const exchange = new StepExchange<PeerLink>({
    answer: (dispatch) => server.serve(dispatch, own),
  });
  const sent: Dispatch[] = [];
  const link = new PeerLink(greetingOf(1), {
    isOpen: true,
    send: (body) => {
      const frame = decodeForwardFrame(body);
      if (frame.kind !== 'dispatch') return;
      sent.push(frame);
      const answer = decodeForwardFrame(encodeResults(peerAnswers(frame)));
      setImmediate(() => exchange.receive(link, answer));
    },
    sent: () => Promise.resolve(),
    close: () => undefined,
  });
  const pass = new ForwardPass({
    rank: 0,
    numRanks: 2,
    activation,
    model,
    exchange,
    server,
    router: new ReplicaRouter(0, model.numLayers, model.numExperts),
    counter,
    pacer: new Pacer(0),
    routing: () => ({
      mapping,
      mappingVersion: followers.mappingVersion(),
      readyVersion: followers.mappingVersion(),
      links: [null, link],
    }),
    follow: (version) => Promise.resolve(followers.follow(version)),
  });
  const run = (): Promise<StepEnd | null> => {
    exchange.begin(4, [link]);
    const experts = new Int16Array(model.numLayers * model.topK).fill(1);
    return pass.run({ step: 4, traceStep: 0, experts, numTokens: 1, stopping: false });
  };
  return { run, sent };
}

describe('a step in which a peer can not serve the version of its tokens any more', () => {
  let version: number;
  let followed: number[];
  let mayRoute: boolean;
  const followers = {
    follow: (to: number) => {
      followed.push(to);
      version = to;
      return mayRoute;
    },
    mappingVersion: () => version,
  };
  /** The peer has switched to version 2 in place. */
  const switched = (dispatch: Dispatch) =>
    answerTo(dispatch, dispatch.mappingVersion === 2 ? Service.served : Service.outdated, 2);

  beforeEach(() => {
    version = 1;
    followed = [];
    mayRoute = true;
  });

  it('is done anew, whole, by the version that the peer has', async () => {
    const { run, sent } = rankZero('in-place', switched, followers);
    const end = await run();
    expect(followed).toEqual([2]);
    expect(end).toMatchObject({ attempts: 2, mappingVersion: 2 });
    expect(end?.checksums.every((checksum) => checksum > misroutedMark)).toBe(true);
    const told = sent.map(({ layer, attempt, mappingVersion }) => [layer, attempt, mappingVersion]);
    expect(told).toEqual([
      [0, 0, 1],
      [0, 1, 2],
      [1, 1, 2],
    ]);
    // From where it entered: nothing of the first attempt is left in the token's state.
    expect(sent[1]?.states).toEqual(sent[0]?.states);
  });

  it('comes to nothing where this rank may route no longer', async () => {
    mayRoute = false;
    const { run } = rankZero('in-place', switched, followers);
    expect(await run()).toBeNull();
  });

  it('is done once where nothing was sent by the old version, or both are served', async () => {
    const none = (dispatch: Dispatch) => answerTo(dispatch, Service.served, 2);
    const inPlace = rankZero('in-place', none, followers);
    expect(await inPlace.run()).toMatchObject({ attempts: 1, mappingVersion: 1 });
    const twoTable = rankZero('two-table', switched, followers);
    expect(await twoTable.run()).toMatchObject({ attempts: 1, mappingVersion: 1 });
    expect(followed).toEqual([]);
  });
});

describe('what a peer answers', () => {
  const followers = { follow: () => true, mappingVersion: () => 1 };

  it('is misrouted where it refuses', async () => {
    const refusing = rankZero(
      'two-table',
      (dispatch) => answerTo(dispatch, Service.refused, 1),
      followers,
    );
    expect((await refusing.run())?.checksums).toEqual(Uint32Array.of(misroutedMark, misroutedMark));
  });
});

describe('an expert server', () => {
  it.each([
    ['in-place', 0, Service.outdated],
    ['in-place', 1, Service.refused],
    ['in-place', 2, Service.refused],
    ['two-table', 0, Service.refused],
  ] as const)('%s, says of version %i, which it does not have: %i', (activation, version, said) => {
    const memory = { spareBuffers: 0, reserveBuffers: 0, startMapping: mapping };
    const residency = new Residency({ rank: 0, activation, ...memory });
    residency.join();
    const counter = new LoadCounter(0, greetingOf(0).incarnation, mapping);
    const server = new ExpertServer({ activation, residency, counter });
    const head = { ...own, layer: 0, step: 1, attempt: 3 };
    const states = new Float64Array(hiddenSize);
    const entries = Uint32Array.of(0, 0, 0);
    const dispatch = { kind: 'dispatch', numTokens: 1, numEntries: 1, states, entries } as const;
    const results = server.serve({ ...head, ...dispatch, mappingVersion: version }, own);
    expect(results).toMatchObject({ attempt: 3, mappingVersion: 1, passive: false });
    expect([...results.service]).toEqual([said]);
  });
});

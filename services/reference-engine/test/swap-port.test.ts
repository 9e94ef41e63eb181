import { ExpertMapping } from '@isobar/eplb';
import {
  type EngineState,
  encodeMapRecord,
  encodeProposal,
  type Fence,
  type Member,
  type Proposal,
  wholeMapping,
} from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { MembershipView } from '../src/membership-view.js';
import { Residency } from '../src/residency.js';
import { SwapPort } from '../src/swap-port.js';
import { SwapWork } from '../src/swap-work.js';

const own: Member = { rank: 0, incarnation: 'aaaaaaaaaaaaaaaa' };
const other: Member = { rank: 1, incarnation: 'bbbbbbbbbbbbbbbb' };
const stranger: Member = { rank: 0, incarnation: 'cccccccccccccccc' };
const first: Fence = { term: 1, nonce: '1111111111111111' };
const second: Fence = { term: 2, nonce: '2222222222222222' };

function mapping(physicalToLogical: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 2,
    slotOffsets: Int32Array.of(0, 2, 4),
    physicalToLogical: Int32Array.from(physicalToLogical),
  });
}

const start = mapping([0, 1, 0, 1]);
const target = mapping([1, 0, 1, 0]);

function proposal(
  version: number,
  base: ExpertMapping,
  to: ExpertMapping,
  members = [own, other],
  baseVersion = version - 1,
) {
  const { layers, rows } = base.delta(to);
  const content: Proposal = {
    schema: 1,
    version,
    base: { version: baseVersion, digest: base.digest() },
    digest: to.digest(),
    members,
    voided: [],
    change: 'membership',
    reason: 'test',
    layers,
    rows,
    transfers: new Int32Array(0),
  };
  return encodeProposal(content);
}

function record(version: number, base: ExpertMapping, to: ExpertMapping, members = [own, other]) {
  return encodeMapRecord({
    schema: 1,
    outcome: 'committed',
    version,
    fence: first,
    change: 'membership',
    reason: 'test',
    base: { version: version - 1, digest: base.digest() },
    digest: to.digest(),
    mapping: wholeMapping(to),
    members,
    voided: [],
  });
}

describe('an engine at its port', () => {
  let port: SwapPort;
  let members: MembershipView;
  let cut: Member[];
  let left: Member[];
  let freed: EngineState[];
  /** Staging under way, to be ended by the test. */
  let stagings: { signal: AbortSignal; end: (error?: Error) => void }[];
  let stagesAtOnce: boolean;

  beforeEach(() => {
    cut = [];
    left = [];
    freed = [];
    stagings = [];
    stagesAtOnce = true;
    members = new MembershipView(own);
    members.meet(other);
    const memory = { spareBuffers: 2, reserveBuffers: 0, startMapping: start };
    port = new SwapPort({
      ...own,
      residency: new Residency({ rank: 0, activation: 'two-table', ...memory }),
      members,
      stager: {
        stage: (_proposal, _incoming, signal) =>
          new Promise((resolve, reject) => {
            const end = (error?: Error) => (error === undefined ? resolve() : reject(error));
            stagings.push({ signal, end });
            if (stagesAtOnce) resolve();
          }),
      },
      work: new SwapWork(),
      currentStep: () => 0,
      brokenPeers: () => [],
      onActivated: () => undefined,
      onStagingFreed: (state) => freed.push(state),
      onOutcome: () => undefined,
      onCut: (member) => cut.push(member),
      onLeft: (gone) => left.push(...gone),
    });
  });

  it('begins no staging before transfers that were given up have ended', async () => {
    stagesAtOnce = false;
    const given = port.handle({
      kind: 'stage',
      fence: first,
      proposal: proposal(1, start, target),
    });
    await Promise.resolve();
    // A new leader asks: nothing is voted for any more that the one before has proposed.
    await port.handle({ kind: 'query', fence: second });
    expect(stagings[0]?.signal.aborted).toBe(true);
    expect(port.state()).toMatchObject({ votedUpTo: 1, vote: null });
    expect(freed).toEqual([]);
    const bytes = proposal(2, start, target, [own, other], 0);
    const next = port.handle({ kind: 'stage', fence: second, proposal: bytes });
    await Promise.resolve();
    expect(stagings).toHaveLength(1);
    stagesAtOnce = true;
    stagings[0]?.end();
    await expect(given).rejects.toMatchObject({ code: 'ISOBAR_ENGINE_STAGING_ABANDONED' });
    expect(freed).toMatchObject([{ vote: null, freeBuffers: 2 }]);
    await next;
    expect(stagings).toHaveLength(2);
    expect(port.state().vote?.version).toBe(2);
  });

  it('routes nothing while it joins, and by the version that lists it from the switch on', async () => {
    port.join();
    expect(port.mayRoute).toBe(false);
    const base = record(1, start, target, [stranger, other]);
    await port.handle({ kind: 'adopt', fence: first, record: base });
    expect(port.state()).toMatchObject({ standing: 'joining', committedVersion: 1 });
    expect(port.readyVersion).toBe(Number.POSITIVE_INFINITY);
    await port.handle({ kind: 'stage', fence: first, proposal: proposal(2, target, start) });
    // It has a say in when the group switches from now on.
    expect(port.readyVersion).toBe(1);
    await port.handle({ kind: 'activate', fence: first, record: record(2, target, start) });
    expect([port.mayRoute, port.readyVersion]).toEqual([false, 2]);
    port.switchBetweenSteps(1);
    expect(port.mayRoute).toBe(false);
    port.switchBetweenSteps(2);
    expect([port.mayRoute, port.mappingVersion]).toEqual([true, 2]);
  });

  it('stops with the version that it leaves with, and parts from those who leave at retire', async () => {
    await port.handle({ kind: 'stage', fence: first, proposal: proposal(1, start, start) });
    await port.handle({ kind: 'activate', fence: first, record: record(1, start, start) });
    port.switchBetweenSteps(1);
    const [alone, none] = [[own], [other]];
    await port.handle({ kind: 'stage', fence: first, proposal: proposal(2, start, target, alone) });
    await port.handle({ kind: 'activate', fence: first, record: record(2, start, target, alone) });
    port.switchBetweenSteps(2);
    expect(left).toEqual([]);
    await port.handle({ kind: 'retire', fence: first, version: 2 });
    expect(left).toEqual([other]);
    await port.handle({ kind: 'stage', fence: first, proposal: proposal(3, target, start, none) });
    await port.handle({ kind: 'activate', fence: first, record: record(3, target, start, none) });
    expect(port.mayRoute).toBe(true);
    port.switchBetweenSteps(3);
    expect([port.mayRoute, port.state().standing]).toEqual([false, 'stopped']);
  });

  it('cuts whom a leader names, never itself', async () => {
    await port.handle({ kind: 'cut', fence: first, member: other });
    expect(cut).toEqual([other]);
    expect(port.state().cuts).toEqual([other]);
    expect(() => port.handle({ kind: 'cut', fence: first, member: own })).toThrow(
      expect.objectContaining({ code: 'ISOBAR_ENGINE_CUT_SELF' }),
    );
    expect(cut).toEqual([other]);
  });
});

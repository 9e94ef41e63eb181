import { ExpertMapping } from '@isobar/eplb';
import {
  type CommittedRecord,
  encodeMapRecord,
  encodeProposal,
  type Fence,
  type KnownOutcome,
  type MapRecord,
  type Member,
  type Proposal,
  type VoidRecord,
  wholeMapping,
} from '@isobar/protocol';

/* Proposals and records of a small deployment, for tests of one rank. */

export const rank = 1;
export const incarnation = '1'.repeat(16);
export const laterIncarnation = '2'.repeat(16);
export const self: Member = { rank, incarnation };
export const peer: Member = { rank: 0, incarnation: 'a'.repeat(16) };
export const otherPeer: Member = { rank: 2, incarnation: 'b'.repeat(16) };
/** All but this rank. */
export const others = [peer, otherPeer];
export const everybody = [peer, self, otherPeer];

export function fenceOf(term: number, nonce = 'f'): Fence {
  return { term, nonce: nonce.repeat(16) };
}

export const startMapping = ExpertMapping.contiguous({
  numLayers: 1,
  numLogicalExperts: 6,
  numRanks: 3,
  numPhysicalExperts: 9,
});

/** A mapping of its own for every version. */
export function mappingOf(version: number): ExpertMapping {
  if (version === 0) return startMapping;
  const row = Int32Array.from({ length: 9 }, (_, slot) => (slot + version) % 6);
  return startMapping.apply({ layers: Int32Array.of(0), rows: row });
}

function versionAndDigest(version: number): { version: number; digest: string } {
  return { version, digest: mappingOf(version).digest() };
}

export interface Told<Of extends MapRecord = MapRecord> {
  readonly record: Of;
  readonly bytes: Uint8Array;
  readonly known: KnownOutcome;
}

function told<Of extends MapRecord>(record: Of): Told<Of> {
  const bytes = encodeMapRecord(record);
  const { version, outcome } = record;
  return { record, bytes, known: { version, outcome, record: bytes } };
}

export function voided(version: number): Told<VoidRecord> {
  return told({ schema: 1, outcome: 'void', version, fence: fenceOf(1), reason: 'test' });
}

export function committed(
  version: number,
  baseVersion: number,
  changes: Partial<CommittedRecord> = {},
): Told<CommittedRecord> {
  return told({
    schema: 1,
    outcome: 'committed',
    fence: fenceOf(1),
    change: 'rebalance',
    reason: 'test',
    base: versionAndDigest(baseVersion),
    ...versionAndDigest(version),
    mapping: wholeMapping(mappingOf(version)),
    members: everybody,
    voided: [],
    ...changes,
  });
}

export interface Proposed {
  readonly proposal: Proposal;
  readonly bytes: Uint8Array;
}

export function proposed(
  version: number,
  baseVersion: number,
  changes: Partial<Proposal> = {},
): Proposed {
  const proposal: Proposal = {
    schema: 1,
    base: versionAndDigest(baseVersion),
    ...versionAndDigest(version),
    members: everybody,
    voided: [],
    change: 'rebalance',
    reason: 'test',
    layers: new Int32Array(0),
    rows: new Int32Array(0),
    transfers: new Int32Array(0),
    ...changes,
  };
  return { proposal, bytes: encodeProposal(proposal) };
}

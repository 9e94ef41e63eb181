import type { ExpertMapping } from '@isobar/eplb';
import { z } from 'zod';
import { changeSchema } from './change.js';
import { decode, encode } from './codec.js';
import { IsobarError } from './isobar-error.js';
import { membersSchema } from './member.js';
import {
  digestSchema,
  int32ArraySchema,
  reasonSchema,
  schemaField,
  versionSchema,
} from './schemas.js';
import { versionInForceSchema } from './version-in-force.js';

/** Columns of one row of `Proposal.transfers`. */
export const transferColumns = 5;

/**
 * What a rank is asked to vote on: one version, whole, against one base.
 * Its bytes are kept as they came: a recovered commit is made from exactly these.
 */
export const proposalSchema = z.object({
  ...schemaField,
  version: versionSchema,
  base: versionInForceSchema,
  /** Digest of the whole mapping that results. */
  digest: digestSchema,
  members: membersSchema,
  /** Versions decided void since the base. */
  voided: z.array(versionSchema).max(4_096),
  change: changeSchema,
  reason: reasonSchema,
  /** Layers that change, ascending. */
  layers: int32ArraySchema,
  /** Their new rows, [layers.length × slots], −1 for an empty slot. */
  rows: int32ArraySchema,
  /** [n × 5]: layer, slot, expert, destination rank, source rank (−1: the backing store). */
  transfers: int32ArraySchema.refine(
    (transfers) => transfers.length % transferColumns === 0,
    'must have five columns',
  ),
});

export type Proposal = Readonly<z.infer<typeof proposalSchema>>;

export interface Transfer {
  readonly layer: number;
  readonly slot: number;
  readonly expert: number;
  readonly destinationRank: number;
  readonly sourceRank: number;
}

export function encodeProposal(proposal: Proposal): Uint8Array {
  return encode(proposal);
}

/** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, ISOBAR_PROTOCOL_SCHEMA_VERSION */
export function decodeProposal(bytes: Uint8Array): Proposal {
  return decode('proposal', bytes, proposalSchema);
}

export function encodeTransfers(transfers: readonly Transfer[]): Int32Array {
  const columns = new Int32Array(transfers.length * transferColumns);
  transfers.forEach((transfer, index) => {
    const { layer, slot, expert, destinationRank, sourceRank } = transfer;
    columns.set([layer, slot, expert, destinationRank, sourceRank], index * transferColumns);
  });
  return columns;
}

/** Transfers of one proposal, or only those whose destination is `rank`. */
export function decodeTransfers(columns: Int32Array, rank?: number): Transfer[] {
  const transfers: Transfer[] = [];
  for (let start = 0; start < columns.length; start += transferColumns) {
    const [layer = 0, slot = 0, expert = 0, destinationRank = 0, sourceRank = -1] =
      columns.subarray(start, start + transferColumns);
    if (rank === undefined || destinationRank === rank) {
      transfers.push({ layer, slot, expert, destinationRank, sourceRank });
    }
  }
  return transfers;
}

/**
 * The mapping that a proposal makes of its base.
 * @throws IsobarError ISOBAR_PROTOCOL_PROPOSAL_INVALID where it does not fit the base, is no
 *   valid mapping, or has another digest than the proposal says
 */
export function applyProposal(base: ExpertMapping, proposal: Proposal): ExpertMapping {
  const fields = { version: proposal.version, base: proposal.base.version };
  const mapping = applyDelta(base, proposal, fields);
  if (mapping.digest() !== proposal.digest) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_PROPOSAL_INVALID',
      `proposal ${proposal.version} results in another digest than it says`,
      { ...fields, field: 'digest' },
    );
  }
  return mapping;
}

function applyDelta(
  base: ExpertMapping,
  proposal: Proposal,
  fields: Readonly<Record<string, unknown>>,
): ExpertMapping {
  try {
    return base.apply({ layers: proposal.layers, rows: proposal.rows });
  } catch (cause) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_PROPOSAL_INVALID',
      `proposal ${proposal.version} does not fit its base ${proposal.base.version}`,
      { ...fields, field: 'rows' },
      { cause },
    );
  }
}

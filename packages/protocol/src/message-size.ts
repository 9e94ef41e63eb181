import type { WaveRoom } from '@isobar/eplb';
import { IsobarError } from './isobar-error.js';
import type { WholeMapping } from './map-record.js';
import { transferColumns } from './proposal.js';
import { limits } from './schemas.js';
import type { CoordinatorSwapState } from './swap/coordinator-swap-state.js';
import type { Wave } from './swap/open-swap.js';

/*
 * What a version makes ranks and leaders tell each other, known before it is proposed: one that is
 * committed and can't be told would leave a group that no leader can take over.
 */

/** Upper bounds, in bytes, of what MessagePack makes of a field. */
const memberBytes = 40;
const versionBytes = 9;
const elementBytes = 4;
/** Of a UTF-16 unit in UTF-8. */
const characterBytes = 3;
/** Names, digests, fences, lengths, and an envelope around it all. */
const recordOverheadBytes = 1_024;
/** A state and a description but for their arrays, a message's headers. */
const answerOverheadBytes = 8_192;

interface Content {
  readonly numMembers: number;
  readonly numVoided: number;
  readonly reason: string;
}

function contentBytes({ numMembers, numVoided, reason }: Content): number {
  const listed = numMembers * memberBytes + numVoided * versionBytes;
  return recordOverheadBytes + listed + reason.length * characterBytes;
}

function mappingBytes({ slotOffsets, physicalToLogical }: WholeMapping): number {
  return elementBytes * (slotOffsets.length + physicalToLogical.length);
}

/**
 * Bytes at most of the largest message that a wave leads to: a rank's answer to a new leader, in
 * which its agent has the new record, its engine the one before, each void since and the proposal.
 */
export function largestMessageBytes(
  wave: Wave,
  base: Pick<CoordinatorSwapState, 'members' | 'voided'>,
  voidRecordsBytes: number,
): number {
  const { mapping, layers, rows, transfers, reason, members = base.members } = wave;
  const numMembers = Math.max(members.length, base.members.length);
  const content = contentBytes({ numMembers, numVoided: base.voided.length + 1, reason });
  const record = content + mappingBytes(mapping);
  const proposal = content + elementBytes * (layers.length + rows.length + transfers.length);
  // Cuts and lost peers, as many as there are members, and the slots of the description.
  const engine = 2 * numMembers * memberBytes + elementBytes * mapping.slotOffsets.length;
  return 2 * record + proposal + voidRecordsBytes + engine + answerOverheadBytes;
}

/** For numbers that come to nothing between the plan and its last wave. */
const voidsReserveBytes = 16_384;

/** What is left of a message for a wave's layers and moves, whatever the wave's reason. */
export function roomForWave(
  mapping: WholeMapping,
  base: Pick<CoordinatorSwapState, 'members' | 'voided'>,
  voidRecordsBytes: number,
  payloadBytesMax: number,
): WaveRoom {
  const [layers, rows, transfers] = [nothing, nothing, nothing];
  const reason = ' '.repeat(limits.reasonCharacters);
  const around = largestMessageBytes(
    { change: 'rebalance', reason, mapping, digest: '', layers, rows, transfers },
    base,
    voidRecordsBytes + voidsReserveBytes,
  );
  const numSlots = mapping.slotOffsets.at(-1) ?? 0;
  return {
    bytesMax: Math.max(0, payloadBytesMax - around),
    layerBytes: elementBytes * (1 + numSlots),
    moveBytes: elementBytes * transferColumns,
  };
}

const nothing = new Int32Array(0);

/** Why waves can't be proposed, null where all that they lead to can be told. */
export function refuseSize(
  waves: readonly Wave[],
  base: Pick<CoordinatorSwapState, 'members' | 'voided'>,
  voidRecordsBytes: number,
  payloadBytesMax: number,
): IsobarError | null {
  const bytes = Math.max(
    0,
    ...waves.map((wave) => largestMessageBytes(wave, base, voidRecordsBytes)),
  );
  if (bytes <= payloadBytesMax) return null;
  const text = `its messages would have up to ${bytes} bytes; the server takes ${payloadBytesMax}`;
  const fields = { bytes, bytesMax: payloadBytesMax, voids: base.voided.length };
  return new IsobarError('ISOBAR_COORDINATOR_TOO_LARGE', text, fields);
}

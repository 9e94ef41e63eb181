import { closedSlots, EplbError, ExpertMapping, revalidateMapping } from '@isobar/eplb';
import {
  type CommandIdentity,
  type CommittedRecord,
  type EngineDescription,
  type ImportedMapping,
  IsobarError,
  type LeaderState,
  type MappingAnswer,
  type MapRecord,
  mappingOfRecord,
  type RequestOutcome,
  readDecidedVersion,
  roomForWaves,
} from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import type { AskedOperation, OperationContent, PreparedCommand } from './change-commands.js';
import { effectOf, wavesTo } from './rebalance-plan.js';
import type { Rebalancing } from './rebalancing.js';

/** A placement that an operator wants: that of an earlier version, or one of her own. */
export type WantedPlacement =
  | { readonly kind: 'rollback'; readonly version: number }
  | { readonly kind: 'import'; readonly mapping: ImportedMapping };

export interface PlacementsContext {
  readonly topology: Topology;
  /** @throws IsobarError ISOBAR_COORDINATOR_DEPOSED */
  leader(): LeaderState;
  /** What is in force. */
  readonly rebalancing: Pick<Rebalancing, 'inForce' | 'mapping'>;
  engines(): readonly EngineDescription[];
  /** Ranks that are no members, or are to hold no expert. */
  unavailableRanks(): readonly number[];
  /** Slots of each rank that may be used, its first ones, [ranks]. */
  usableSlots(): Int32Array;
  /** The record of a version as the store has it, null where it has none. */
  readVersion(version: number): Promise<Uint8Array | null>;
  operate(operation: OperationContent): AskedOperation;
  onFailure(cause: unknown): void;
}

interface Wanted {
  readonly placement: WantedPlacement;
  readonly command: CommandIdentity;
}

/** Versions before one that are looked through for the one that it was made on: voids lie between. */
const versionsBackMax = 64;
const readAtATime = 16;

/** Mappings of versions, and going to one that operators want. */
export class Placements {
  readonly #context: PlacementsContext;
  /** What was asked for and has not ended, by token. */
  readonly #wanted = new Map<number, Wanted>();

  constructor(context: PlacementsContext) {
    this.#context = context;
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_NO_VERSION, those of the bus */
  async record(version: number): Promise<MapRecord> {
    const bytes = await this.#context.readVersion(version);
    if (bytes !== null) return readDecidedVersion(bytes).record;
    const text = `version ${version} has no record: it never came about, or it is older than the records that are kept (coordinator.recordsKept)`;
    throw new IsobarError('ISOBAR_COORDINATOR_NO_VERSION', text, { version });
  }

  async #committed(version: number): Promise<CommittedRecord> {
    const record = await this.record(version);
    if (record.outcome === 'committed') return record;
    const text = `version ${version} was decided void`;
    throw new IsobarError('ISOBAR_COORDINATOR_NO_VERSION', text, { version });
  }

  /** The mapping that was in force before a version, null where no record tells. */
  async mappingBefore(version: number): Promise<ExpertMapping | null> {
    const last = Math.max(1, version - versionsBackMax);
    for (let newest = version - 1; newest >= last; newest -= readAtATime) {
      const length = Math.min(readAtATime, 1 + newest - last);
      const reads = Array.from({ length }, (_, back) => this.#context.readVersion(newest - back));
      for (const bytes of await Promise.all(reads)) {
        const record = bytes === null ? null : readDecidedVersion(bytes).record;
        if (record?.outcome === 'committed') return mappingOfRecord(record);
      }
    }
    return null;
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_NO_VERSION, those of the bus */
  async exported(version: number | undefined): Promise<MappingAnswer> {
    const { inForce, mapping: current } = this.#context.rebalancing;
    const isNewest = version === undefined || version === inForce.version;
    const mapping = isNewest ? current : mappingOfRecord(await this.#committed(version));
    return {
      version: version ?? inForce.version,
      digest: mapping.digest(),
      numLogicalExperts: mapping.numLogicalExperts,
      modelLayerIds: [...(this.#context.engines()[0]?.modelLayerIds ?? [])],
      slotOffsets: [...mapping.slotOffsets],
      physicalToLogical: Array.from({ length: mapping.numLayers }, (_, layer) => [
        ...mapping.row(layer),
      ]),
    };
  }

  /**
   * Going there as far as the members of today can have it, once the version that may be open is
   * decided; balancing by itself is held from then on, until resumed.
   * @throws IsobarError ISOBAR_COORDINATOR_NO_VERSION, ISOBAR_COORDINATOR_DEGRADED,
   *   ISOBAR_COORDINATOR_SAME_MAPPING, ISOBAR_COORDINATOR_IMPORT_INVALID; EplbError for a mapping that
   *   is none, or of another shape; those of the bus
   */
  async prepare(placement: WantedPlacement): Promise<PreparedCommand> {
    const wanted = await this.#mappingOf(placement);
    const { inForce, mapping: current } = this.#context.rebalancing;
    const target = this.#revalidated(wanted, current);
    const engines = this.#context.engines();
    const bytesPerExpert = engines[0]?.bytesPerExpert ?? 0;
    const reason = reasonOf(placement);
    const topology = this.#context.topology.toClusterShape(bytesPerExpert);
    const waves = wavesTo(current, target, {
      change: 'rollback',
      engines,
      topology,
      room: roomForWaves(this.#context.leader()),
      reason,
    });
    if (waves.length === 0) throw this.#nothingToDo(placement);
    return {
      operation: {
        change: { kind: 'hold', reason },
        request: { change: 'rollback', waves, base: inForce },
      },
      effect: effectOf(current, target, waves.length, bytesPerExpert),
      plan: null,
      reason: `${reason}; balancing would be held until resumed`,
      onAsked: (asked, command) => this.#follow(asked, { placement, command }),
    };
  }

  #follow({ token, done }: AskedOperation, wanted: Wanted): void {
    this.#wanted.set(token, wanted);
    done.then(
      ({ isRepeated }) => isRepeated && this.#wanted.delete(token),
      () => this.#wanted.delete(token),
    );
  }

  onRequestEnded(token: number, outcome: RequestOutcome): void {
    const wanted = this.#wanted.get(token);
    this.#wanted.delete(token);
    // It was accepted while a version was open, which is in force now: planned anew on top of that.
    if (wanted !== undefined && outcome === 'outdated') void this.#again(wanted);
  }

  async #again({ placement, command }: Wanted): Promise<void> {
    const goesOn = { ...command, goesOn: true } as const;
    try {
      const { operation } = await this.prepare(placement);
      const asked = this.#context.operate({ ...operation, command: goesOn });
      this.#follow(asked, { placement, command });
      await asked.done;
    } catch (error) {
      if (!(error instanceof IsobarError || error instanceof EplbError)) {
        this.#context.onFailure(error);
        return;
      }
      const isThere = error.code === 'ISOBAR_COORDINATOR_SAME_MAPPING';
      const reason = `${error.code}: ${error.message}`;
      const ended = { outcome: isThere ? 'done' : 'outdated', reason } as const;
      await this.#context
        .operate({ change: null, request: null, command: { ...goesOn, ended } })
        // A leadership that is over leaves it to the next to tell.
        .done.catch((failure: unknown) => {
          if (!(failure instanceof IsobarError)) this.#context.onFailure(failure);
        });
    }
  }

  async #mappingOf(placement: WantedPlacement): Promise<ExpertMapping> {
    if (placement.kind === 'rollback') {
      return mappingOfRecord(await this.#committed(placement.version));
    }
    const { mapping: imported } = placement;
    const { slotOffsets, physicalToLogical, numLogicalExperts } = imported;
    const slots = slotOffsets.at(-1) ?? 0;
    const layer = physicalToLogical.findIndex((row) => row.length !== slots);
    if (layer >= 0) {
      const found = physicalToLogical[layer]?.length ?? 0;
      throw invalid('physicalToLogical', `layer ${layer} has ${found} slots, not ${slots}`);
    }
    const mapping = ExpertMapping.create({
      numLayers: physicalToLogical.length,
      numLogicalExperts,
      slotOffsets: Int32Array.from(slotOffsets),
      physicalToLogical: Int32Array.from(physicalToLogical.flat()),
    });
    if (imported.digest !== undefined && imported.digest !== mapping.digest()) {
      throw invalid('digest', 'it is not the digest of this mapping, which was changed since');
    }
    const layerIds = this.#context.engines()[0]?.modelLayerIds ?? [];
    if (imported.modelLayerIds !== undefined && imported.modelLayerIds.join() !== layerIds.join()) {
      throw invalid('modelLayerIds', `the model's layers are ${layerIds.join(', ')}`);
    }
    return mapping;
  }

  #revalidated(wanted: ExpertMapping, current: ExpertMapping): ExpertMapping {
    const out = new Set(this.#context.unavailableRanks());
    const ranks = Array.from({ length: current.numRanks }, (_, rank) => rank);
    const staying = ranks.filter((rank) => !out.has(rank));
    const { slotOffsets } = current;
    const usableSlots = this.#context.usableSlots();
    const revalidated = revalidateMapping(
      wanted,
      { memberRanks: staying, closedSlots: closedSlots({ slotOffsets, usableSlots }) },
      current,
      this.#context.leader().loads,
    );
    if (revalidated.kind === 'mapping') return revalidated.mapping;
    const { kind: _, ...fields } = revalidated;
    const text = 'that mapping can not be had on the ranks that are left';
    throw new IsobarError('ISOBAR_COORDINATOR_DEGRADED', text, fields);
  }

  #nothingToDo(placement: WantedPlacement): IsobarError {
    const { open } = this.#context.leader().swap;
    const { inForce } = this.#context.rebalancing;
    const fields = placement.kind === 'rollback' ? { version: placement.version } : {};
    if (open !== null) {
      const { version } = open.proposal;
      const text = `version ${version} is open: cancel it, to stay with the mapping in force`;
      return new IsobarError('ISOBAR_COORDINATOR_SWAP_OPEN', text, { ...fields, open: version });
    }
    const text = `version ${inForce.version} places experts in that way already`;
    return new IsobarError('ISOBAR_COORDINATOR_SAME_MAPPING', text, fields);
  }
}

function reasonOf(placement: WantedPlacement): string {
  if (placement.kind === 'rollback') return `rolled back to version ${placement.version}`;
  return 'a mapping was imported';
}

function invalid(field: string, why: string): IsobarError {
  const text = `the mapping to be imported, field ${field}: ${why}`;
  const fields = { field: `mapping.${field}` };
  return new IsobarError('ISOBAR_COORDINATOR_IMPORT_INVALID', text, fields);
}

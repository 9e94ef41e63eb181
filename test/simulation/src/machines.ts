import type { ExpertMapping } from '@isobar/eplb';
import type { DecidedVersion, MapRecord, Proposal } from '@isobar/protocol';

/** The machines under test: the package as built, or a copy of it with a fault. */
export type Machines = typeof import('@isobar/protocol');

/**
 * Reads bytes as the processes' shells do, but each buffer once: in a run the same bytes are
 * read by every rank, and nobody writes into them.
 */
export class Reader {
  readonly #machines: Machines;
  readonly #records = new WeakMap<Uint8Array, DecidedVersion>();
  readonly #proposals = new WeakMap<Uint8Array, Proposal>();
  readonly #targets = new WeakMap<Uint8Array, { base: ExpertMapping; target: ExpertMapping }>();
  readonly #mappings = new WeakMap<MapRecord, ExpertMapping>();

  constructor(machines: Machines) {
    this.#machines = machines;
  }

  decided(bytes: Uint8Array): DecidedVersion {
    let decided = this.#records.get(bytes);
    if (decided === undefined) {
      const record = this.#machines.decodeMapRecord(bytes);
      const { version, outcome } = record;
      decided = { known: { version, outcome, record: bytes }, record };
      this.#records.set(bytes, decided);
    }
    return decided;
  }

  record(bytes: Uint8Array): MapRecord {
    return this.decided(bytes).record;
  }

  proposal(bytes: Uint8Array): Proposal {
    let proposal = this.#proposals.get(bytes);
    if (proposal === undefined) {
      proposal = this.#machines.decodeProposal(bytes);
      this.#proposals.set(bytes, proposal);
    }
    return proposal;
  }

  /** @throws IsobarError as applyProposal does */
  target(base: ExpertMapping, bytes: Uint8Array): ExpertMapping {
    const known = this.#targets.get(bytes);
    if (known?.base.equals(base)) return known.target;
    const target = this.#machines.applyProposal(base, this.proposal(bytes));
    this.#targets.set(bytes, { base, target });
    return target;
  }

  mapping(record: Extract<MapRecord, { readonly outcome: 'committed' }>): ExpertMapping {
    let mapping = this.#mappings.get(record);
    if (mapping === undefined) {
      mapping = this.#machines.mappingOfRecord(record);
      this.#mappings.set(record, mapping);
    }
    return mapping;
  }
}

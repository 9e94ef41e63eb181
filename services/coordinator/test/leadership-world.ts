import { ExpertMapping } from '@isobar/eplb';
import {
  type CommittedRecord,
  type ControlRecord,
  type EngineDescription,
  encodeMapRecord,
  type Ground,
  IsobarError,
  initialLeader,
  type LeaderState,
  type MapRecord,
  type RankReport,
  wholeMapping,
} from '@isobar/protocol';
import { Topology } from '@isobar/topology';
import type { AskedOperation, OperationContent, PreparedCommand } from '../src/change-commands.js';
import { Leadership } from '../src/leadership.js';
import { settingsOf, timingsOf } from '../src/settings.js';
import { configurationWith } from './test-configuration.js';

/* A leadership of three ranks, with a leader that stands still and a store that is a map. */

const numRanks = 3;
export const fence = { term: 4, nonce: 'a'.repeat(16) };
const { configuration } = configurationWith({ perTokenSeconds: 1e-5, passStepsMin: 1 });
export const settings = settingsOf(configuration);

export function mappingOf(physicalToLogical: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 4,
    slotOffsets: Int32Array.of(0, 2, 4, 6),
    physicalToLogical: Int32Array.from(physicalToLogical),
  });
}

export const inForce = mappingOf([0, 1, 2, 3, 0, 1]);
export const earlier = mappingOf([0, 1, 2, 3, 2, 3]);

export function memberOf(rank: number) {
  return { rank, incarnation: `${rank}`.repeat(16) };
}
export const members = [0, 1, 2].map(memberOf);

export function committed(
  version: number,
  mapping: ExpertMapping,
  changes: Partial<CommittedRecord> = {},
): CommittedRecord {
  return {
    schema: 1,
    outcome: 'committed',
    version,
    fence,
    change: 'rebalance',
    reason: 'test',
    base: { version: version - 1, digest: earlier.digest() },
    digest: mapping.digest(),
    mapping: wholeMapping(mapping),
    members,
    voided: [],
    ...changes,
  };
}

function describeEngine(rank: number): EngineDescription {
  return {
    deployment: 'test',
    numRanks,
    ...memberOf(rank),
    process: null,
    engine: 'test 1',
    modelRevision: 'r1',
    phase: 'mixed',
    modelLayerIds: Int32Array.of(7),
    numLogicalExperts: 4,
    slotOffsets: inForce.slotOffsets,
    pinnedSlots: new Int32Array(0),
    bytesPerExpert: 64,
    spareBuffers: 4,
    reserveBuffers: 1,
    replicaChoice: 'uniform',
    activation: 'two-table',
    staging: 'one-sided',
    digestAlgorithm: 'sha256',
    ownBalancer: false,
  };
}

function reportOf(rank: number): RankReport {
  const version = 2;
  return {
    schema: 1,
    rank,
    fence,
    engine: {
      incarnation: memberOf(rank).incarnation,
      committedVersion: version,
      mappingVersion: version,
      mappingDigest: inForce.digest(),
      activatedVersion: version,
      retiredUpTo: version,
      votedUpTo: version,
      openVote: null,
      freeBuffers: 4,
      step: 1,
      standing: 'serving',
      cuts: [],
      brokenPeers: [],
    },
    exited: [],
    progress: null,
    refused: null,
    schemaRange: [1, 1],
  };
}

const topology = Topology.create({
  levels: [
    {
      name: 'node',
      bandwidthBytesPerSecond: 1e9,
      latencySeconds: 1e-6,
      fastDomain: true,
      failureDomain: true,
    },
  ],
  domains: [['a', 'a', 'a']],
});

const ground: Ground = {
  newest: { version: 2, digest: inForce.digest() },
  newestOutcome: null,
  mapping: inForce,
  voided: [],
  outcomes: [],
  members,
  descriptions: [0, 1, 2].map(describeEngine),
  nextVersion: 3,
  retiredUpTo: 2,
  retained: null,
  baseMembers: [],
  storeBehind: false,
  contradicted: [],
  evidence: { declared: [], witnesses: new Map(), proven: [], lost: [], cutting: [] },
  answers: [],
  joiners: [],
};

export function controlOf(changes: Partial<ControlRecord> = {}): ControlRecord {
  const none = { drained: [], slotLimits: [], dead: [], parameters: {}, requests: [] };
  const fresh = { mode: 'observe', paused: false, held: null } as const;
  return { schema: 1, fence, ...fresh, ...none, ...changes };
}

function standingLeader(): LeaderState {
  const ranks = [0, 1, 2];
  const { leader: timings } = timingsOf(settings);
  const payloadBytesMax = 1_048_576;
  const options = { timings, configuredRanks: ranks, topology: null, payloadBytesMax };
  const fresh = initialLeader(ground, controlOf(), fence, options);
  const engines = ranks.map((rank) => {
    const { engine } = reportOf(rank);
    if (engine === null) throw new Error('a report without an engine');
    const { physicalToLogical } = inForce;
    const state = { ...engine, fence, physicalToLogical, vote: null, outcomes: [] };
    return [rank, { description: describeEngine(rank), state }] as const;
  });
  const reports = new Map(ranks.map((rank) => [rank, reportOf(rank)]));
  return { ...fresh, engines: new Map(engines), swap: { ...fresh.swap, reports } };
}

/** As which everything is asked for. */
export const command = {
  id: 'one',
  digest: '0'.repeat(64),
  command: 'test',
  requester: { verified: false, account: null, user: null, host: null },
};

export class LeadershipWorld {
  /** Null: this leadership is over. */
  leader: LeaderState | null = standingLeader();
  readonly store = new Map<number, Uint8Array>();
  readonly operated: OperationContent[] = [];
  readonly told: { readonly kind: string; readonly fields: Readonly<Record<string, unknown>> }[] =
    [];
  readonly failures: unknown[] = [];
  /** What the next operations are refused with. */
  refusal: IsobarError | null = null;
  /** Reading the store fails like this. */
  readFailure: Error | null = null;
  readonly leadership: Leadership;
  #waiting: (() => void)[] = [];

  constructor() {
    this.leadership = new Leadership({
      settings,
      topology,
      fence,
      ground,
      leader: () => this.leader,
      onPass: () => undefined,
      operate: (operation) => this.#operate(operation),
      readVersion: async (version) => {
        if (this.readFailure !== null) throw this.readFailure;
        return this.store.get(version) ?? null;
      },
      tell: (kind, fields) => {
        this.told.push({ kind, fields });
        this.#happened();
      },
      onFailure: (cause) => {
        this.failures.push(cause);
        this.#happened();
      },
    });
  }

  #operate(operation: OperationContent): AskedOperation {
    this.operated.push(operation);
    const { refusal } = this;
    const result = { control: controlOf(), request: null, isRepeated: false };
    const done = refusal === null ? Promise.resolve(result) : Promise.reject(refusal);
    const asked = { token: this.operated.length, done };
    this.leadership.noteRequest(asked, operation);
    this.#happened();
    return asked;
  }

  /** Has begun what was thought through, as a command does; rejected with the leader's refusal. */
  async begin(prepared: PreparedCommand | Promise<PreparedCommand>): Promise<PreparedCommand> {
    const ready = await prepared;
    const asked = this.#operate({ ...ready.operation, command });
    ready.onAsked?.(asked, command);
    await asked.done;
    return ready;
  }

  /** Has a rollback begun, as its command does. */
  rollback(version: number): Promise<PreparedCommand> {
    return this.begin(this.leadership.placements.prepare({ kind: 'rollback', version }));
  }

  #happened(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /** Resolves as soon as something is operated, told or fails. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  keep(record: MapRecord): void {
    this.store.set(record.version, encodeMapRecord(record));
  }

  /** The leader as it is, but for this. */
  change(changes: Partial<LeaderState>): void {
    if (this.leader === null) throw new Error('this leadership is over');
    this.leader = { ...this.leader, ...changes };
  }

  changeSwap(changes: Partial<LeaderState['swap']>): void {
    if (this.leader === null) throw new Error('this leadership is over');
    this.change({ swap: { ...this.leader.swap, ...changes } });
  }
}

export function refusedWith(code: string): IsobarError {
  return new IsobarError(code, 'refused');
}

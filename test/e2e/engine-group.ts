import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ExpertMapping, planTransfers } from '@isobar/eplb';
import {
  type Activation,
  type Change,
  encodeMapRecord,
  encodeProposal,
  encodeTransfers,
  type Fence,
  type MapRecord,
  type Member,
  type Proposal,
  wholeMapping,
} from '@isobar/protocol';
import {
  type Comparison,
  compareWithOracle,
  type RankResults,
  readResults,
  stepsMissing,
  writeCheckpoint,
} from '@isobar/reference-engine';
import { ManagedProcess, ProcessGuard } from '@isobar/testing';
import { generateTrace, writeTrace } from '@isobar/trace';
import { EngineUnderTest } from './engine-under-test.js';
import { installedScripts } from './installed.js';
import { withoutRanks } from './without-ranks.js';

const model = { numLayers: 3, numExperts: 12, topK: 2 };
const deadlineMs = 60_000;
const agentOf = (rank: number) => rank.toString(16).padStart(16, '0');
const pollMs = 20;
export const fence: Fence = { term: 1, nonce: 'aaaaaaaaaaaaaaaa' };

export interface EngineGroupOptions {
  readonly numRanks: number;
  readonly activation: Activation;
  /** Settings of one rank's engine over those of all. */
  readonly engineOfRank?: (rank: number) => Readonly<Record<string, unknown>>;
}

/** What a version is to be. */
export interface VersionPlan {
  readonly mapping: ExpertMapping;
  readonly members: readonly Member[];
  readonly change: Change;
  /** Ranks that can't give weights. */
  readonly deadRanks?: readonly number[];
  /** A rank whose new engine takes the slots of the one before: all of it must be brought. */
  readonly refilledRank?: number;
}

export interface PlannedVersion {
  readonly version: number;
  readonly proposal: Uint8Array;
  readonly record: Uint8Array;
  readonly voidRecord: Uint8Array;
}

/** What a run has left behind. */
export interface RunResults {
  readonly comparison: Comparison;
  readonly missing: number;
  /** By rank, of each incarnation that served. */
  readonly byRank: readonly (readonly RankResults[])[];
}

/** Real engine processes and no agents: the test is the agent of each, and the leader. */
export class EngineGroup {
  readonly directory: string;
  readonly start: ExpertMapping;
  readonly #options: EngineGroupOptions;
  readonly #guard: ProcessGuard;
  readonly #engines = new Map<number, EngineUnderTest>();
  #newest: { readonly version: number; readonly mapping: ExpertMapping };
  #newestRecord: Uint8Array = new Uint8Array(0);

  private constructor(options: EngineGroupOptions, directory: string, guard: ProcessGuard) {
    this.#options = options;
    this.directory = directory;
    this.#guard = guard;
    this.start = ExpertMapping.contiguous({
      numLayers: model.numLayers,
      numLogicalExperts: model.numExperts,
      numRanks: options.numRanks,
      numPhysicalExperts: options.numRanks * 6,
    });
    this.#newest = { version: 0, mapping: this.start };
  }

  /** A folder with weights and traffic; no engine yet. */
  static async create(options: EngineGroupOptions): Promise<EngineGroup> {
    const guard = new ProcessGuard();
    const directory = await mkdtemp(join(tmpdir(), 'isobar-'));
    guard.removeAtEnd(directory);
    for (const folder of ['sockets', 'results', 'checkpoint']) {
      await mkdir(join(directory, folder));
    }
    const group = new EngineGroup(options, directory, guard);
    await writeCheckpoint(group.#checkpoint, model);
    const trace = generateTrace({ seed: 3, ...model, tokensPerStep: 48, numSteps: 32 });
    await writeTrace(group.#tracePath, trace);
    return group;
  }

  /** With an engine for every rank, whose version 1 is written down and followed by all. */
  static async serving(options: EngineGroupOptions): Promise<EngineGroup> {
    const group = await EngineGroup.create(options);
    await group.startAll();
    await group.follow({ mapping: group.start, members: group.members, change: 'start' });
    return group;
  }

  get #checkpoint(): string {
    return join(this.directory, 'checkpoint');
  }

  get #tracePath(): string {
    return join(this.directory, 'trace.jsonl');
  }

  /** The engine that a rank has now. */
  engine(rank: number): EngineUnderTest {
    const engine = this.#engines.get(rank);
    if (engine === undefined) throw new Error(`no engine of rank ${rank}`);
    return engine;
  }

  get engines(): EngineUnderTest[] {
    return [...this.#engines.values()];
  }

  /** Those of all engines that run now. */
  get members(): Member[] {
    return this.engines.map(({ member }) => member);
  }

  async startAll(): Promise<void> {
    const ranks = Array.from({ length: this.#options.numRanks }, (_, rank) => rank);
    await Promise.all(ranks.map((rank) => this.startEngine(rank)));
  }

  /** Starts an engine and is its agent from its hello on. */
  async startEngine(rank: number): Promise<EngineUnderTest> {
    const { numRanks, activation, engineOfRank } = this.#options;
    const address = join(this.directory, 'sockets', `engine-${rank}.sock`);
    const settingsPath = join(this.directory, `settings-${rank}.json`);
    const settings = {
      deployment: 'test',
      rank,
      numRanks,
      listen: `unix:${address}`,
      peerDirectory: join(this.directory, 'sockets'),
      checkpointDirectory: this.#checkpoint,
      resultsDirectory: join(this.directory, 'results'),
      trace: this.#tracePath,
      numPhysicalExperts: this.start.numPhysicalExperts,
      activation,
      spareBuffers: 24,
      reserveBuffers: 4,
      meanLayerMillis: 4,
      loadIntervalMs: 20,
      stagingBytesPerSecond: 64 * 1024 * 1024,
      faults: {},
      ...engineOfRank?.(rank),
    };
    await writeFile(settingsPath, JSON.stringify(settings));
    const process_ = new ManagedProcess({
      name: `engine-${rank}`,
      command: [process.execPath, ...installedScripts.engine, settingsPath],
      guard: this.#guard,
      logPath: this.logPath(rank),
      isReady: (line) => line.includes('"msg":"serving"'),
    });
    await process_.ready(deadlineMs);
    const identity = { deployment: 'test', rank, agent: agentOf(rank) };
    const engine = await EngineUnderTest.connect(process_, { path: address }, identity);
    this.#engines.set(rank, engine);
    return engine;
  }

  logPath(rank: number): string {
    return join(this.directory, `engine-${rank}.log`);
  }

  /** Resolves once a rank has logged a line that matches. */
  async logged(rank: number, line: RegExp): Promise<void> {
    const untilMs = performance.now() + deadlineMs;
    while (!line.test(await readFile(this.logPath(rank), 'utf8'))) {
      if (performance.now() > untilMs) throw new Error(`rank ${rank} has not logged ${line}`);
      await delay(pollMs);
    }
  }

  async kill(rank: number): Promise<void> {
    this.engine(rank).process.signal('SIGKILL');
    await this.gone(rank);
  }

  /** Resolves once a rank's engine has ended. */
  async gone(rank: number): Promise<void> {
    const engine = this.engine(rank);
    const late = delay(deadlineMs, 'late', { ref: false });
    if ((await Promise.race([engine.process.exited, late])) === 'late') {
      throw new Error(`the engine of rank ${rank} has not ended`);
    }
    engine.disconnect();
    this.#engines.delete(rank);
  }

  /** Proposal and both possible records of a version. */
  plan(
    { mapping, members, change, deadRanks = [], refilledRank }: VersionPlan,
    version = this.#newest.version + 1,
  ): PlannedVersion {
    const base = { version: this.#newest.version, digest: this.#newest.mapping.digest() };
    const { layers, rows } = this.#newest.mapping.delta(mapping);
    const held =
      refilledRank === undefined
        ? this.#newest.mapping
        : withoutRanks(this.#newest.mapping, [refilledRank]);
    const transfers = planTransfers(held, mapping, { deadRanks });
    const common = { schema: 1, version, change, reason: 'test', base } as const;
    const digest = mapping.digest();
    const proposal: Proposal = {
      ...common,
      voided: [],
      digest,
      members: [...members],
      layers,
      rows,
      transfers: encodeTransfers(transfers),
    };
    const committed: MapRecord = {
      ...common,
      outcome: 'committed',
      voided: [],
      fence,
      digest,
      members: [...members],
      mapping: wholeMapping(mapping),
    };
    return {
      version,
      proposal: encodeProposal(proposal),
      record: encodeMapRecord(committed),
      voidRecord: encodeMapRecord({ schema: 1, outcome: 'void', version, fence, reason: 'test' }),
    };
  }

  /** Bytes of the newest committed record. */
  get newestRecord(): Uint8Array {
    return this.#newestRecord;
  }

  /** Every engine stages a version, and votes. */
  async stage({ proposal }: PlannedVersion): Promise<void> {
    await Promise.all(
      this.engines.map((engine) => engine.order({ kind: 'stage', fence, proposal })),
    );
  }

  async tell(
    { record, voidRecord }: PlannedVersion,
    outcome: 'committed' | 'void',
    engines = this.engines,
  ): Promise<void> {
    const command =
      outcome === 'committed'
        ? ({ kind: 'activate', fence, record } as const)
        : ({ kind: 'discard', fence, record: voidRecord } as const);
    await Promise.all(engines.map((engine) => engine.order(command)));
  }

  /** A whole swap of all engines: staged, told, activated, and retired by those that stay. */
  async follow(plan: VersionPlan): Promise<PlannedVersion> {
    const planned = this.plan(plan);
    const { version, record } = planned;
    await this.stage(planned);
    this.#newest = { version, mapping: plan.mapping };
    this.#newestRecord = record;
    await this.tell(planned, 'committed');
    await Promise.all(
      this.engines.map((engine) => engine.until((state) => state.activatedVersion === version)),
    );
    const staying = this.engines.filter(({ state }) => state.standing === 'serving');
    await Promise.all(staying.map((engine) => engine.order({ kind: 'retire', fence, version })));
    return planned;
  }

  /** Ends the engines by SIGTERM, and compares what every incarnation served with the oracle. */
  async conclude(): Promise<RunResults> {
    const stopAtMs = Date.now();
    await Promise.all(this.engines.map((engine) => engine.stop()));
    const ranks = Array.from({ length: this.#options.numRanks }, (_, rank) => rank);
    const results = join(this.directory, 'results');
    const byRank = await Promise.all(ranks.map((rank) => readResults(results, rank)));
    const comparison = await compareWithOracle(this.#checkpoint, this.#tracePath, byRank.flat());
    const missing = stepsMissing(byRank.flat());
    return { comparison, missing, byRank: byRank.map((lives) => endedBefore(lives, stopAtMs)) };
  }

  async close(): Promise<void> {
    for (const engine of this.engines) engine.disconnect();
    await this.#guard.close();
  }
}

/** Engines stop one after another: what the last of them mask then says nothing. */
function endedBefore(lives: readonly RankResults[], atMs: number): RankResults[] {
  return lives.map((life) => ({
    ...life,
    steps: life.steps.filter(({ startedAtMs, stepMillis }) => startedAtMs + stepMillis < atMs),
  }));
}

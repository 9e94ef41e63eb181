import { randomBytes } from 'node:crypto';
import {
  AsyncExpertRebalancer,
  balancedness,
  type ClusterShape,
  createPolicy,
  EplbError,
  ExpertLoadBalancer,
  type ExpertMapping,
  layerBenefits,
  summarizeForecast,
  type WaveRoom,
} from '@isobar/eplb';
import {
  type EconomySummary,
  type EngineDescription,
  IsobarError,
  type Mode,
  type PlanSummary,
  type RebalanceEntry,
  type RequestOutcome,
  type VersionInForce,
  type Wave,
} from '@isobar/protocol';
import { DeclinedPlan } from './declined-plan.js';
import type { LoadPass } from './load-window.js';
import { entryOf, gainOf, type Measured, rankShares, reasonOf, summaryOf } from './plan-report.js';
import { assertCurrent, planOfLayers, type RebalancePlan, wavesTo } from './rebalance-plan.js';
import type { CoordinatorSettings } from './settings.js';
import { StepEconomy } from './step-economy.js';

/** What rebalancing sees of the leader, and may ask of it. */
export interface RebalancingContext {
  /** As they are now. */
  settings(): CoordinatorSettings;
  readonly topology: ClusterShape;
  readonly numNodes: number;
  /** Of the members. */
  engines(): readonly EngineDescription[];
  mode(): Mode;
  /** Why nothing may begin by itself now, null where it may. */
  heldBack(): string | null;
  /** Nothing is under way, and nothing waits. */
  idle(): boolean;
  /** Ranks that are no members, are to hold no expert, or may use no slot. */
  unavailableRanks(): number[];
  /** Slots of each rank that may be used, its first ones, [ranks]. */
  usableSlots(): Int32Array;
  /** What the message of a wave may hold. */
  roomForWaves(): WaveRoom;
  /** Asks the leader for a rebalance by itself. */
  request(waves: readonly Wave[], base: VersionInForce): AskedPlan;
  tell(kind: string, fields: Readonly<Record<string, unknown>>): void;
  /** Monotonic clock. */
  now(): number;
}

/** A plan that the leader has been asked to apply. */
export interface AskedPlan {
  readonly token: number;
  /** Rejected with the leader's refusal, an IsobarError. False where it had been asked before. */
  readonly accepted: Promise<boolean>;
}

/** Entries of the history that are kept. */
const historyMax = 256;
/** Passes measured before and after a rebalance. */
const measuredPassesMax = 4;

/**
 * Decides whether a better placement is worth its moves, and follows what became of it. Plans
 * are made in the rebalancer's worker; a plan is applied only to the mapping it was made for.
 */
export class Rebalancing {
  readonly #context: RebalancingContext;
  readonly #balancer: ExpertLoadBalancer;
  readonly #rebalancer: AsyncExpertRebalancer;
  readonly #economy: StepEconomy;
  readonly #history: RebalanceEntry[] = [];
  #planning: { readonly plan: Promise<RebalancePlan>; readonly anyway: boolean } | null = null;
  #pending: RebalancePlan | null = null;
  #running: { readonly entry: RebalanceEntry; readonly token: number } | null = null;
  #measuring: { readonly entry: RebalanceEntry; readonly after: Measured[] } | null = null;
  #before: Measured[] = [];
  /** A swap was open at some time since the last pass. */
  #swapSeen = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #declined: DeclinedPlan | null = null;
  #inForce: VersionInForce;

  constructor(context: RebalancingContext, mapping: ExpertMapping, inForce: VersionInForce) {
    this.#context = context;
    this.#inForce = inForce;
    const settings = context.settings();
    this.#balancer = new ExpertLoadBalancer({
      policy: createPolicy(settings.policy),
      mapping,
      windowPassesMax: settings.windowPasses,
    });
    this.#economy = new StepEconomy(settings, mapping, this.#bytesPerExpert);
    this.#rebalancer = new AsyncExpertRebalancer({
      balancer: this.#balancer,
      ...conditionsOf(settings),
      economy: this.#economy.current(null),
    });
    this.#rebalancer.start();
  }

  /** The settings have changed. */
  useSettings(): void {
    const settings = this.#context.settings();
    const { policy, windowPasses } = settings;
    if (this.#balancer.policy.name !== policy) this.#balancer.usePolicy(createPolicy(policy));
    this.#balancer.useWindow(windowPasses);
    this.#rebalancer.useConditions(conditionsOf(settings));
    this.#economy.useSettings(settings);
  }

  stop(): Promise<void> {
    return this.#rebalancer.stop();
  }

  /** The version whose mapping is `mapping`: what plans are made on. */
  get inForce(): VersionInForce {
    return this.#inForce;
  }

  get mapping(): ExpertMapping {
    return this.#balancer.mapping;
  }

  get passes(): number {
    return this.#balancer.stats().passes;
  }

  get history(): readonly RebalanceEntry[] {
    return this.#history;
  }

  get pendingPlan(): PlanSummary | null {
    return this.#pending === null ? null : summaryOf(this.#pending);
  }

  /** By what moves pay or not, as far as it is known now. */
  get economy(): EconomySummary {
    return this.#economy.summary();
  }

  /** A version was committed. */
  applyMapping(mapping: ExpertMapping, inForce: VersionInForce): void {
    this.#inForce = inForce;
    this.#balancer.applyMapping(mapping);
    this.#pending = null;
  }

  get #bytesPerExpert(): number {
    return this.#context.engines()[0]?.bytesPerExpert ?? 0;
  }

  /** Takes a pass in, and decides. Resolves when a plan, if one was made, has been dealt with. */
  async addPass(pass: LoadPass): Promise<void> {
    const { now } = this.#context;
    this.#balancer.recordLogicalLoad(pass.logicalLoads);
    this.#balancer.advanceWindow();
    this.#measure(pass);
    this.#economy.addPass(pass, this.#swapSeen || !this.#context.idle());
    this.#swapSeen = false;
    if (!this.#mayBegin || now() < this.#notBeforeMs || this.#isDeclined()) return;
    const out = this.#context.unavailableRanks();
    if (!this.#rebalancer.shouldRebalance(now(), out).rebalance) return;
    try {
      const plan = await this.#plan();
      // One may have been refused while this was being made.
      if (!this.#isDeclined()) await this.#consider(plan);
    } catch (error) {
      if (!(error instanceof EplbError) && !(error instanceof IsobarError)) throw error;
      this.#notBeforeMs = now() + this.#context.settings().backOffMs;
      this.#context.tell('plan-failed', { code: error.code, reason: error.message });
    }
  }

  /** An operator has refused a plan, and what it was made for is as it was. */
  #isDeclined(): boolean {
    if (this.#declined === null) return false;
    const isHeld = this.#declined.holds(this.#balancer.windowLoads(), this.#context.now());
    if (!isHeld) this.#declined = null;
    return isHeld;
  }

  get #mayBegin(): boolean {
    return this.#context.idle() && this.#context.heldBack() === null;
  }

  #measure(pass: LoadPass): void {
    const { numLayers, numRanks } = this.#balancer.mapping;
    const out = this.#context.unavailableRanks();
    const measured = {
      balancedness: balancedness(pass.rankLoads, numLayers, numRanks, out),
      stepMillis: pass.meanStepMillis,
    };
    if (this.#running !== null) return;
    if (this.#measuring === null) {
      this.#before = [...this.#before, measured].slice(-measuredPassesMax);
      return;
    }
    const { entry, after } = this.#measuring;
    after.push(measured);
    entry.measuredBalancedness = gainOf(this.#before, after, (at) => at.balancedness);
    entry.measuredStepMillis = gainOf(this.#before, after, (at) => at.stepMillis);
    if (after.length < measuredPassesMax) return;
    this.#context.tell('rebalance-measured', {
      plan: entry.plan.id,
      predicted: entry.plan.balancedness,
      measured: entry.measuredBalancedness,
      stepMillis: entry.measuredStepMillis,
    });
    this.#before = after;
    this.#measuring = null;
  }

  /**
   * Plans on the loads seen so far; who asks while such a plan is being made gets that.
   * @param anyway moves need not pay, but for what a forecast's error makes of a gain
   */
  async #plan(anyway = false): Promise<RebalancePlan> {
    while (this.#planning !== null && this.#planning.anyway !== anyway) {
      // One is made at a time; what becomes of the other is its asker's concern.
      await this.#planning.plan.catch(() => undefined);
    }
    if (this.#planning !== null) return this.#planning.plan;
    const plan = this.#makePlan(anyway).finally(() => {
      this.#planning = null;
    });
    this.#planning = { plan, anyway };
    return plan;
  }

  async #makePlan(anyway: boolean): Promise<RebalancePlan> {
    const { topology, numNodes, now } = this.#context;
    const engines = this.#context.engines();
    const base = this.#inForce;
    const current = this.#balancer.mapping;
    const pinnedSlots = [...(engines[0]?.pinnedSlots ?? [])];
    const unavailableRanks = this.#context.unavailableRanks();
    const expected = this.#balancer.forecast();
    const forecast = summarizeForecast(expected?.layers ?? []);
    const measured = this.#economy.current(expected?.loads ?? null);
    const economy = this.#economy.summary();
    const moveCosts = anyway ? measured.leastMoveCosts : undefined;
    const options = {
      topology,
      numNodes,
      pinnedSlots,
      unavailableRanks,
      usableSlots: this.#context.usableSlots(),
      ...(moveCosts === undefined ? {} : { moveCosts }),
    };
    const result = await this.#rebalancer.rebalanceAsync(now(), options, measured);
    this.#rebalancer.clearPending();
    const benefit = this.#rebalancer.netBenefit(result.report, measured);
    const gains = layerBenefits(result.report, measured);
    const id = randomBytes(4).toString('hex');
    const waves = wavesTo(current, result.mapping, {
      change: 'rebalance',
      engines,
      topology,
      layerGains: gains,
      room: this.#context.roomForWaves(),
      reason: reasonOf(id, result),
    });
    const { moves, balancednessBefore, balancedness: after } = result.report;
    return {
      id,
      current,
      target: result.mapping,
      base,
      result,
      waves,
      moves,
      bytes: moves * this.#bytesPerExpert,
      layerBenefits: gains,
      loads: expected?.loads ?? new Float64Array(0),
      unavailableRanks,
      balancedness: { before: balancednessBefore ?? 0, after },
      forecast,
      economy,
      ...benefit,
    };
  }

  async #consider(plan: RebalancePlan): Promise<void> {
    if (!plan.pays) {
      this.#record(plan, 'not-worth', null);
      return;
    }
    switch (this.#context.mode()) {
      case 'observe':
        this.#record(plan, 'observed', null);
        return;
      case 'approve':
        this.#pending = plan;
        this.#record(plan, 'waiting', null);
        return;
      case 'automatic':
        // Operators may have acted while the plan was being made.
        if (this.#mayBegin) await this.#beginByItself(plan);
        return;
    }
  }

  #record(
    plan: RebalancePlan,
    outcome: RebalanceEntry['outcome'],
    askedBy: RebalanceEntry['askedBy'],
  ): void {
    this.#keep(entryOf(plan, outcome, askedBy), plan);
  }

  #keep(entry: RebalanceEntry, plan: RebalancePlan): void {
    this.#history.push(entry);
    if (this.#history.length > historyMax) this.#history.shift();
    const { outcome, askedBy } = entry;
    // Loads by rank are many numbers: of those plans alone that something came of.
    const loads = outcome === 'observed' || outcome === 'not-worth' ? {} : rankShares(plan);
    this.#context.tell('plan', { ...entry.plan, outcome, askedBy, ...loads });
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_PLAN_OUTDATED, and the leader's refusals */
  async #beginByItself(plan: RebalancePlan): Promise<void> {
    assertCurrent(plan, this.#inForce);
    await this.follow(plan, 'automatic', this.#context.request(plan.waves, plan.base));
  }

  /**
   * The leader has been asked to apply a plan: what becomes of it is told and measured.
   * @throws IsobarError the leader's refusals
   */
  async follow(
    plan: RebalancePlan,
    askedBy: 'automatic' | 'operator',
    { token, accepted }: AskedPlan,
  ): Promise<void> {
    // Before it is accepted: it may have ended by the time that anybody hears of that.
    const entry = entryOf(plan, 'running', askedBy);
    const waited = this.#pending === plan;
    this.#pending = null;
    this.#measuring = null;
    this.#running = { entry, token };
    this.#keep(entry, plan);
    const isBegun = await accepted.catch((error: unknown) => {
      this.#abandon(entry, token);
      const isCurrent = plan.base.version === this.#inForce.version;
      // It may be approved again, unless another has come in its place.
      if (waited && isCurrent) this.#pending ??= plan;
      throw error;
    });
    if (!isBegun) this.#abandon(entry, token);
  }

  #abandon(entry: RebalanceEntry, token: number): void {
    entry.outcome = 'refused';
    if (this.#running?.token === token) this.#running = null;
  }

  /**
   * What would be done now. Nothing is changed.
   * @throws EplbError ISOBAR_EPLB_NO_LOADS and the policy's refusals
   */
  async explainPlan(): Promise<PlanSummary> {
    return summaryOf(await this.#plan());
  }

  /**
   * A plan to be applied now, whether it pays or not.
   * @param layers those alone that are to change, all where absent
   * @throws EplbError ISOBAR_EPLB_NO_LOADS and the policy's refusals; IsobarError
   *   ISOBAR_COORDINATOR_REQUEST_INVALID, ISOBAR_COORDINATOR_SAME_MAPPING
   */
  async planNow(layers?: readonly number[]): Promise<RebalancePlan> {
    const { numLayers } = this.mapping;
    const beyond = layers?.find((layer) => layer >= numLayers);
    if (beyond !== undefined) {
      const text = `there is no layer ${beyond}: the mapping has ${numLayers}`;
      throw new IsobarError('ISOBAR_COORDINATOR_REQUEST_INVALID', text, { field: 'layers' });
    }
    const whole = await this.#plan(true);
    const { topology } = this.#context;
    const room = this.#context.roomForWaves();
    const options = { engines: this.#context.engines(), topology, room };
    const plan = layers === undefined ? whole : planOfLayers(whole, layers, options);
    if (plan.waves.length === 0) {
      const text = `plan ${plan.id} moves nothing: the mapping in force is as good`;
      throw new IsobarError('ISOBAR_COORDINATOR_SAME_MAPPING', text, { plan: plan.id });
    }
    if (plan.pays) return plan;
    return { ...plan, reason: `not begun but by an operator: ${plan.reason}` };
  }

  /**
   * The plan that waits for an operator.
   * @param id refused where another plan has taken its place
   * @throws IsobarError ISOBAR_COORDINATOR_NO_PLAN, ISOBAR_COORDINATOR_PLAN_OUTDATED
   */
  waitingPlan(id: string | undefined): RebalancePlan {
    const plan = this.#pending;
    if (plan === null) {
      throw new IsobarError('ISOBAR_COORDINATOR_NO_PLAN', 'no plan waits for approval');
    }
    if (id !== undefined && id !== plan.id) {
      const text = `plan ${id} does not wait for approval; ${plan.id} does`;
      throw new IsobarError('ISOBAR_COORDINATOR_PLAN_OUTDATED', text, { plan: plan.id });
    }
    return plan;
  }

  /** The plan is not wanted: none is proposed until loads have changed, or the back-off is over. */
  decline(plan: RebalancePlan): void {
    if (this.#pending !== plan) return;
    this.#pending = null;
    const untilMs = this.#context.now() + this.#context.settings().backOffMs;
    const { relativeError } = plan.forecast;
    this.#declined = new DeclinedPlan(this.#balancer.windowLoads(), relativeError, untilMs);
    this.#record(plan, 'declined', 'operator');
  }

  /** A wave of a rebalance is in force. */
  onWaveCommitted(): void {
    if (this.#running !== null) this.#running.entry.wavesCommitted += 1;
  }

  /** Any swap has ended. */
  onSwapFinished(): void {
    this.#swapSeen = true;
  }

  /** A request has ended, be it a rebalance's or another. */
  onRequestEnded(token: number, outcome: RequestOutcome): void {
    if (this.#running?.token !== token) return;
    const { entry } = this.#running;
    this.#running = null;
    entry.outcome = outcome === 'committed' ? 'applied' : outcome;
    if (entry.wavesCommitted > 0) this.#measuring = { entry, after: [] };
    this.#context.tell('rebalance-finished', {
      plan: entry.plan.id,
      outcome: entry.outcome,
      wavesCommitted: entry.wavesCommitted,
      version: this.#inForce.version,
    });
  }
}

/** By which it is decided whether a plan is made. */
function conditionsOf({
  planIntervalMs: intervalMs,
  passesMin,
  balancednessMax,
  planDeadlineMs,
}: CoordinatorSettings) {
  return { intervalMs, passesMin, balancednessMax, planDeadlineMs };
}

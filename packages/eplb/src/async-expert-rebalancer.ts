import type { RebalanceReport, RebalanceRequest, RebalanceResult } from './abstract-eplb-policy.js';
import {
  moveEconomy,
  type NetBenefit,
  netBenefit,
  type RebalanceEconomy,
} from './economy/move-economy.js';
import { EplbError } from './eplb-error.js';
import type { ExpertLoadBalancer, RebalanceOptions } from './expert-load-balancer.js';
import { ExpertMapping } from './expert-mapping.js';
import { createPolicy, type PlanAnswer, type PlanQuestion } from './planner-messages.js';
import { PlannerThread } from './planner-thread.js';

export interface AsyncExpertRebalancerOptions {
  readonly balancer: ExpertLoadBalancer;
  /** Least time between two plans. @default 10,000 */
  readonly intervalMs?: number;
  /** Passes that must be in the window first. @default 2 */
  readonly passesMin?: number;
  /** Plan only where the window's balancedness is below this. @default 0.95 */
  readonly balancednessMax?: number;
  /**
   * A plan that takes longer is stopped and reported; the next one has twice as much time, up to four
   * times. The worker's start has a deadline of its own. @default 10,000
   */
  readonly planDeadlineMs?: number;
  /** By which each layer's moves, and a plan, pay or not. */
  readonly economy: RebalanceEconomy;
}

export type RebalanceConditions = Required<
  Pick<
    AsyncExpertRebalancerOptions,
    'intervalMs' | 'passesMin' | 'balancednessMax' | 'planDeadlineMs'
  >
>;

/** Why a plan is or is not made now. */
export interface RebalanceDecision {
  readonly rebalance: boolean;
  readonly reason: 'stopped' | 'planning' | 'interval' | 'window' | 'balanced' | 'imbalanced';
  readonly balancedness: number;
}

/** Most of the deadline that a plan has after others have missed it. */
const patienceMax = 4;

/** Plans in a worker thread, so that the event loop stays free. One plan at a time. */
export class AsyncExpertRebalancer {
  #options: Required<AsyncExpertRebalancerOptions>;
  #thread: PlannerThread | null = null;
  #deadlinesMissed = 0;
  #running = false;
  #planning = false;
  #lastPlanMs = Number.NEGATIVE_INFINITY;
  #pending: RebalanceResult | null = null;

  /** @throws EplbError ISOBAR_EPLB_UNKNOWN_POLICY for a policy that the worker can't make */
  constructor(options: AsyncExpertRebalancerOptions) {
    // The worker makes the policy anew by its name: one that it does not know is refused here.
    createPolicy(options.balancer.policy.name);
    this.#options = {
      intervalMs: 10_000,
      passesMin: 2,
      balancednessMax: 0.95,
      planDeadlineMs: 10_000,
      ...options,
    };
  }

  /** When a plan is made, and how long it may take, from now on. */
  useConditions(conditions: RebalanceConditions): void {
    this.#options = { ...this.#options, ...conditions };
  }

  start(): void {
    this.#running = true;
  }

  /** Ends the worker; a plan under way is rejected. */
  async stop(): Promise<void> {
    this.#running = false;
    const thread = this.#thread;
    this.#thread = null;
    await thread?.stop();
  }

  /** The last plan that has not been taken or dropped. */
  get pendingMapping(): RebalanceResult | null {
    return this.#pending;
  }

  clearPending(): void {
    this.#pending = null;
  }

  /**
   * @param nowMs the caller's monotonic clock
   * @param unavailableRanks may hold no expert: no imbalance that a plan could mend
   */
  shouldRebalance(nowMs: number, unavailableRanks: readonly number[] = []): RebalanceDecision {
    const { balancer, intervalMs, passesMin, balancednessMax } = this.#options;
    const { passes, balancedness } = balancer.stats(unavailableRanks);
    const no = (reason: RebalanceDecision['reason']) => ({
      rebalance: false,
      reason,
      balancedness,
    });
    if (!this.#running) return no('stopped');
    if (this.#planning) return no('planning');
    if (nowMs - this.#lastPlanMs < intervalMs) return no('interval');
    if (passes < passesMin) return no('window');
    if (balancedness === 0 || balancedness >= balancednessMax) return no('balanced');
    return { rebalance: true, reason: 'imbalanced', balancedness };
  }

  /**
   * Predicted gain of a plan against the cost of its moves.
   * @param measured figures that are better known by now than when the rebalancer was made
   * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID naming the field
   */
  netBenefit(report: RebalanceReport, measured: Partial<RebalanceEconomy> = {}): NetBenefit {
    return netBenefit(report, { ...this.#options.economy, ...measured });
  }

  /**
   * Plans on the balancer's forecast and keeps the result as pending. Moves cost what the economy
   * says, unless `options` has `moveCosts`.
   * @param measured as for `netBenefit`
   * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID, ISOBAR_EPLB_PLAN_UNDERWAY, ISOBAR_EPLB_NOT_STARTED, ISOBAR_EPLB_PLAN_DEADLINE,
   *   ISOBAR_EPLB_WORKER_START, ISOBAR_EPLB_WORKER_FAILED, or the policy's own refusal
   */
  async rebalanceAsync(
    nowMs: number,
    options: RebalanceOptions = {},
    measured: Partial<RebalanceEconomy> = {},
  ): Promise<RebalanceResult> {
    if (!this.#running) throw new EplbError('ISOBAR_EPLB_NOT_STARTED', 'the rebalancer is stopped');
    if (this.#planning) {
      throw new EplbError('ISOBAR_EPLB_PLAN_UNDERWAY', 'a plan is already being made');
    }
    const { balancer, economy } = this.#options;
    const { moveCosts } = moveEconomy({ ...economy, ...measured });
    this.#planning = true;
    this.#lastPlanMs = nowMs;
    try {
      this.#pending = await this.#plan(balancer.request({ moveCosts, ...options }));
      return this.#pending;
    } finally {
      this.#planning = false;
    }
  }

  async #plan(request: RebalanceRequest): Promise<RebalanceResult> {
    const { currentMapping, ...plain } = request;
    const { copy, buffers } = copyArrays(plain);
    const question: PlanQuestion = {
      policy: this.#options.balancer.policy.name,
      request: copy,
      currentMapping:
        currentMapping === undefined
          ? null
          : {
              numLayers: currentMapping.numLayers,
              numLogicalExperts: currentMapping.numLogicalExperts,
              slotOffsets: currentMapping.slotOffsets,
              physicalToLogical: currentMapping.physicalToLogical,
            },
    };
    const answer = await this.#ask(question, buffers);
    if (!answer.ok) throw new EplbError(answer.code, answer.message, answer.fields);
    const { mapping, dispatch, report } = answer;
    return { mapping: ExpertMapping.create(mapping), dispatch, report };
  }

  async #ask(question: PlanQuestion, transfer: readonly ArrayBuffer[]): Promise<PlanAnswer> {
    if (this.#thread === null || this.#thread.hasFailed) this.#thread = new PlannerThread();
    const { planDeadlineMs } = this.#options;
    const deadlineMs = planDeadlineMs * Math.min(patienceMax, 2 ** this.#deadlinesMissed);
    try {
      const answer = await this.#thread.ask(question, transfer, deadlineMs);
      this.#deadlinesMissed = 0;
      return answer;
    } catch (error) {
      if (error instanceof EplbError && error.code === 'ISOBAR_EPLB_PLAN_DEADLINE') {
        this.#deadlinesMissed += 1;
      }
      throw error;
    }
  }
}

/**
 * Large arrays of a request copied, so that the copies can be given away to the worker at once
 * instead of being cloned there and back.
 */
function copyArrays(request: Omit<RebalanceRequest, 'currentMapping'>) {
  const { routes } = request;
  const copy = {
    ...request,
    loads: request.loads.slice(),
    ...(request.loadDeviations && { loadDeviations: request.loadDeviations.slice() }),
    ...(request.loadFactors && { loadFactors: request.loadFactors.map((own) => own.slice()) }),
    ...(request.sourceLoads && { sourceLoads: request.sourceLoads.slice() }),
    ...(routes && {
      routes: {
        ...routes,
        experts: routes.experts.slice(),
        sourceRanks: routes.sourceRanks.slice(),
      },
    }),
  };
  const arrays = [
    copy.loads,
    copy.loadDeviations,
    ...(copy.loadFactors ?? []),
    copy.sourceLoads,
    copy.routes?.experts,
    copy.routes?.sourceRanks,
  ];
  const buffers = arrays.flatMap((array) => (array === undefined ? [] : [array.buffer]));
  return { copy, buffers: buffers as ArrayBuffer[] };
}

import type { RebalanceReport } from '../abstract-eplb-policy.js';
import { economyRefusal } from './economy-refusal.js';
import type { LayerStepTime } from './step-time-model.js';

/** All by which a change of placement pays or not. */
export interface RebalanceEconomy {
  /** Rank time by layer, [layers]: of `StepTimeModel.fit` or `configuredStepTimes`. */
  readonly stepTimes: readonly LayerStepTime[];
  /**
   * Passes for which a plan is expected to serve; of a horizon in time, its seconds × passes a
   * second. A pass is what the loads are counted over.
   */
  readonly horizonPasses: number;
  /** [layers] */
  readonly bytesPerExpert: Float64Array;
  /** Bandwidth that weights may take on all links together, in bytes per second. */
  readonly bandwidthBytesPerSecond: number;
  /** Share of the transfers' time by which inference is slowed, 0 or more. */
  readonly interference: number;
  /**
   * Tokens that a move must save at least, however cheap it is, [layers]: loads are a forecast, and
   * gains below its error don't come true. @default 0
   */
  readonly leastMoveCosts?: Float64Array;
}

/** What each layer's moves cost, and why a layer is held. */
export interface MoveEconomy {
  /**
   * Tokens by which a layer's largest rank load must fall for each move, [layers], for
   * `RebalanceRequest.moveCosts`; Infinity where the time per token can't be told from noise.
   */
  readonly moveCosts: Float64Array;
  /** Why nothing is moved in a layer, [layers]; null where something may be. */
  readonly reasons: readonly (string | null)[];
}

/** What a plan would bring and take, in seconds. */
export interface NetBenefit {
  readonly benefitSeconds: number;
  readonly costSeconds: number;
  readonly pays: boolean;
  readonly reason: string;
}

/**
 * The cost of a move in the unit of its gain: seconds of slowed inference ÷ seconds that a token
 * less on the largest rank saves over the horizon.
 * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID naming the field
 */
export function moveEconomy(economy: RebalanceEconomy): MoveEconomy {
  assertEconomy(economy);
  const { stepTimes, bytesPerExpert, leastMoveCosts } = economy;
  const moveCosts = Float64Array.from(stepTimes, ({ basis, perTokenSeconds }, layer) => {
    if (basis === null) return Number.POSITIVE_INFINITY;
    const seconds = secondsOf(bytesPerExpert[layer] ?? 0, economy);
    const tokens = seconds / (perTokenSeconds * economy.horizonPasses);
    return Math.max(tokens, leastMoveCosts?.[layer] ?? 0);
  });
  return { moveCosts, reasons: stepTimes.map(({ reason }) => reason) };
}

/**
 * Seconds that a plan saves over the horizon, [layers]: (largest rank load before − after) × time
 * per token × horizon; 0 where the time per token can't be told from noise.
 * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID naming the field
 */
export function layerBenefits(
  report: Pick<RebalanceReport, 'layerGains'>,
  economy: RebalanceEconomy,
): Float64Array {
  assertEconomy(economy);
  const { stepTimes, horizonPasses } = economy;
  if (report.layerGains.length !== stepTimes.length) {
    const text = `has ${report.layerGains.length} layers, not ${stepTimes.length}`;
    throw economyRefusal('layerGains', text);
  }
  return Float64Array.from(stepTimes, ({ basis, perTokenSeconds }, layer) =>
    basis === null ? 0 : (report.layerGains[layer] ?? 0) * perTokenSeconds * horizonPasses,
  );
}

/**
 * Benefit = Σ over layers of `layerBenefits`; cost = bytes ÷ bandwidth ×
 * interference. A report doesn't say in which layers its moves are: all are charged with the bytes
 * of the layer that has most.
 * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID naming the field
 */
export function netBenefit(
  report: Pick<RebalanceReport, 'moves' | 'layerGains'>,
  economy: RebalanceEconomy,
): NetBenefit {
  const { stepTimes, bytesPerExpert } = economy;
  const benefitSeconds = layerBenefits(report, economy).reduce((sum, seconds) => sum + seconds, 0);
  const bytes = report.moves * bytesPerExpert.reduce((most, of) => Math.max(most, of), 0);
  const costSeconds = secondsOf(bytes, economy);
  const pays = report.moves > 0 && benefitSeconds > costSeconds;
  const reason = reasonOf(report.moves, pays, stepTimes);
  return { benefitSeconds, costSeconds, pays, reason };
}

function secondsOf(bytes: number, economy: RebalanceEconomy): number {
  return (bytes / economy.bandwidthBytesPerSecond) * economy.interference;
}

function reasonOf(moves: number, pays: boolean, stepTimes: readonly LayerStepTime[]): string {
  const held = stepTimes.filter(({ basis }) => basis === null);
  const why = held[0]?.reason ?? '';
  if (held.length === stepTimes.length) {
    return `nothing is moved: the time per token can't be told from noise in any layer (${why})`;
  }
  const besides =
    held.length === 0
      ? ''
      : `; held are ${held.length} of ${stepTimes.length} layers, whose time per token can't be told from noise (${why})`;
  if (moves === 0) return `no change would pay for its moves${besides}`;
  return `its gain ${pays ? 'pays' : 'does not pay'} for its moves${besides}`;
}

function assertEconomy(economy: RebalanceEconomy): void {
  const { stepTimes, bytesPerExpert, leastMoveCosts, interference } = economy;
  for (const field of ['horizonPasses', 'bandwidthBytesPerSecond'] as const) {
    if (!(economy[field] > 0 && economy[field] < Number.POSITIVE_INFINITY)) {
      throw economyRefusal(field, 'must be positive');
    }
  }
  if (!isAmount(interference)) throw economyRefusal('interference', 'must be finite, not negative');
  if (stepTimes.length === 0) throw economyRefusal('stepTimes', 'has no layer');
  for (const [field, values] of Object.entries({ bytesPerExpert, leastMoveCosts })) {
    if (values === undefined) continue;
    if (values.length !== stepTimes.length) {
      throw economyRefusal(field, `has ${values.length} layers, not ${stepTimes.length}`);
    }
    if (!values.every(isAmount)) throw economyRefusal(field, 'must be finite, not negative');
  }
}

function isAmount(value: number): boolean {
  return value >= 0 && value < Number.POSITIVE_INFINITY;
}

import { TraceError } from './trace-error.js';

export interface TraceHeader {
  readonly model: string;
  readonly numLayers: number;
  readonly numExperts: number;
  readonly topK: number;
}

/** Which experts a model's router chose, step by step. Every call gives fresh arrays. */
export interface Trace {
  readonly header: TraceHeader;
  readonly numSteps: number;
  /**
   * Tokens (positions) of one step.
   * @throws TraceError ISOBAR_TRACE_INVALID where there is no such step
   */
  numTokens(step: number): number;
  /**
   * Chosen experts, [numTokens × numLayers × topK], position-major; ids distinct within a token
   * and layer. A token of a load trace whose layer has fewer entries has −1 in the rest.
   * @throws TraceError ISOBAR_TRACE_INVALID where there is no such step
   */
  tokens(step: number): Int16Array;
  /**
   * Sequence of each token, [numTokens], counted from 0 over the whole trace, whose tokens lie in
   * order: a sequence may begin in one step and end in another. −1 where a trace knows none, as a
   * load trace.
   * @throws TraceError ISOBAR_TRACE_INVALID where there is no such step
   */
  sequences(step: number): Int32Array;
  /**
   * Tokens per expert of one step, [numLayers × numExperts].
   * @throws TraceError ISOBAR_TRACE_INVALID where there is no such step
   */
  loads(step: number): Float64Array;
}

/** @throws TraceError ISOBAR_TRACE_INVALID */
export function assertStep(step: number, numSteps: number): void {
  if (Number.isInteger(step) && step >= 0 && step < numSteps) return;
  throw new TraceError(
    'ISOBAR_TRACE_INVALID',
    `there is no step ${step}: the trace has ${numSteps} steps`,
    { field: 'step', step, numSteps },
  );
}

import { ExpertPopularity } from './expert-popularity.js';
import { FITTED, MEASURED } from './generator-figures.js';
import { createRandom, type Random } from './random.js';
import { TokenTrace } from './token-trace.js';
import type { Trace } from './trace.js';
import { TraceError } from './trace-error.js';
import { DEFAULT_TOKENS_PER_STEP, TRACE_LIMITS } from './trace-format.js';
import { WeightedChoice } from './weighted-choice.js';

export interface GeneratorOptions {
  /** A safe integer; the same options make the same trace. */
  readonly seed: number;
  /** @default 26 */
  readonly numLayers?: number;
  /** @default 64 */
  readonly numExperts?: number;
  /** @default 6 */
  readonly topK?: number;
  /** @default 64 */
  readonly tokensPerStep?: number;
  /** @default 256 */
  readonly numSteps?: number;
  /** Subject matters, in equal parts one after another. @default 2: it changes once, half-way */
  readonly numDomains?: number;
}

type Sizes = Required<Omit<GeneratorOptions, 'seed'>>;

/** DeepSeek-V2-Lite's sizes. */
const DEFAULTS: Sizes = {
  numLayers: 26,
  numExperts: 64,
  topK: 6,
  tokensPerStep: DEFAULT_TOKENS_PER_STEP,
  numSteps: 256,
  numDomains: 2,
};

const MOST: Sizes = {
  numLayers: TRACE_LIMITS.layers,
  numExperts: TRACE_LIMITS.experts,
  topK: TRACE_LIMITS.topK,
  tokensPerStep: TRACE_LIMITS.tokensPerStep,
  numSteps: TRACE_LIMITS.steps,
  numDomains: TRACE_LIMITS.steps,
};

/**
 * A synthetic trace that behaves as real ones were measured to (`MEASURED`): uneven, drifting,
 * bursty, with experts in company. Made at once and kept, at two bytes a choice.
 * @throws TraceError ISOBAR_TRACE_INVALID naming the option; ISOBAR_TRACE_SIZES where the trace
 *   would have more than 2^28 choices, or 2^28 loads
 */
export function generateTrace(options: GeneratorOptions): Trace {
  const random = createRandom(options.seed);
  const sizes = sizesOf(options);
  const { numLayers, numExperts, topK, tokensPerStep } = sizes;
  const header = { model: 'synthetic', numLayers, numExperts, topK };
  const { experts, sequenceTokens } = new TokenGenerator(random, sizes).generate();
  return new TokenTrace(header, tokensPerStep, experts, sequenceTokens);
}

function sizesOf({ seed: _, ...options }: GeneratorOptions): Sizes {
  const sizes: Sizes = { ...DEFAULTS, ...options };
  for (const field of Object.keys(DEFAULTS) as (keyof Sizes)[]) {
    const size = sizes[field];
    if (!Number.isInteger(size) || size < 1 || size > MOST[field]) {
      throw invalid(field, `must be an integer from 1 to ${MOST[field]}, not ${size}`);
    }
  }
  const { numLayers, numExperts, topK, tokensPerStep, numSteps, numDomains } = sizes;
  if (topK > numExperts) throw invalid('topK', 'must not be larger than numExperts');
  if (numDomains > numSteps) throw invalid('numDomains', 'must not be larger than numSteps');
  const choices = numSteps * tokensPerStep * numLayers * topK;
  const loads = numSteps * numLayers * numExperts;
  const limit = TRACE_LIMITS.entries;
  if (choices <= limit && loads <= limit) return sizes;
  throw new TraceError(
    'ISOBAR_TRACE_SIZES',
    `a trace of ${choices} choices and ${loads} loads is past the limit of ${limit}`,
    { field: 'numSteps', choices, loads, limit },
  );
}

function invalid(field: string, what: string): TraceError {
  return new TraceError('ISOBAR_TRACE_INVALID', `${field}: ${what}`, { field });
}

class TokenGenerator {
  readonly #random: Random;
  readonly #sizes: Sizes;
  readonly #popularity: ExpertPopularity;
  /** [layers] */
  readonly #choices: readonly WeightedChoice[];
  /** [tokens × layers × topK] */
  readonly #experts: Int16Array;
  /** The entry, counted from 1, that last took each expert, [experts]. */
  readonly #takenBy: Int32Array;
  #sequenceTokensLeft: number;
  /** Tokens of each sequence so far; the last may end with the trace. */
  readonly #sequenceTokens: number[] = [0];

  constructor(random: Random, sizes: Sizes) {
    const { numLayers, numExperts, topK, tokensPerStep, numSteps } = sizes;
    this.#random = random;
    this.#sizes = sizes;
    this.#popularity = new ExpertPopularity(random, numLayers, numExperts);
    this.#choices = Array.from(
      { length: numLayers },
      () => new WeightedChoice(numExperts, MEASURED.groupSize),
    );
    this.#experts = new Int16Array(numSteps * tokensPerStep * numLayers * topK);
    this.#takenBy = new Int32Array(numExperts);
    this.#sequenceTokensLeft = this.#sequenceLength();
  }

  #sequenceLength(): number {
    return FITTED.sequenceTokens / 2 + this.#random.integer(FITTED.sequenceTokens);
  }

  generate(): { readonly experts: Int16Array; readonly sequenceTokens: Int32Array } {
    const { numSteps, numDomains, tokensPerStep, numLayers } = this.#sizes;
    for (let step = 0; step < numSteps; step += 1) {
      if (step > 0) this.#startStep(changesDomain(step, numSteps, numDomains));
      this.#updateWeights();
      for (let position = 0; position < tokensPerStep; position += 1) {
        if (this.#sequenceTokensLeft === 0) this.#startSequence();
        this.#sequenceTokensLeft -= 1;
        const sequence = this.#sequenceTokens.length - 1;
        this.#sequenceTokens[sequence] = (this.#sequenceTokens[sequence] ?? 0) + 1;
        const token = step * tokensPerStep + position;
        for (let layer = 0; layer < numLayers; layer += 1) this.#choose(token, layer);
      }
    }
    return { experts: this.#experts, sequenceTokens: Int32Array.from(this.#sequenceTokens) };
  }

  #startStep(domainChanges: boolean): void {
    if (domainChanges) this.#popularity.changeDomain();
    this.#popularity.drift();
  }

  #startSequence(): void {
    this.#sequenceTokensLeft = this.#sequenceLength();
    this.#sequenceTokens.push(0);
    this.#popularity.changeSequence();
    this.#updateWeights();
  }

  #updateWeights(): void {
    this.#choices.forEach((choice, layer) => {
      choice.setWeights(this.#popularity.weights(layer));
    });
  }

  #choose(token: number, layer: number): void {
    const { numLayers, topK } = this.#sizes;
    const choice = this.#choices[layer];
    if (choice === undefined) return;
    const entry = token * numLayers + layer;
    const isTaken = (expert: number) => this.#takenBy[expert] === entry + 1;
    const previous = entry >= numLayers ? (entry - numLayers) * topK : -1;
    const homeGroup = choice.groupOf(choice.draw(this.#random));
    for (let index = 0; index < topK; index += 1) {
      let expert = this.#candidate(choice, previous + index, previous >= 0, homeGroup);
      if (isTaken(expert)) expert = choice.drawFree(this.#random, isTaken);
      this.#takenBy[expert] = entry + 1;
      this.#experts[entry * topK + index] = expert;
    }
  }

  #candidate(
    choice: WeightedChoice,
    previous: number,
    hasPrevious: boolean,
    homeGroup: number,
  ): number {
    const chance = this.#random.next();
    if (hasPrevious && chance < FITTED.repeatChance) return this.#experts[previous] ?? 0;
    return this.#random.next() < FITTED.homeGroupChance
      ? choice.drawInGroup(this.#random, homeGroup)
      : choice.draw(this.#random);
  }
}

function changesDomain(step: number, numSteps: number, numDomains: number): boolean {
  const domain = (at: number) => Math.floor((at * numDomains) / numSteps);
  return domain(step) !== domain(step - 1);
}

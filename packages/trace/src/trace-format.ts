import { z } from 'zod';
import { TraceError } from './trace-error.js';

/** Positions of one step where a token trace's header does not say. */
export const DEFAULT_TOKENS_PER_STEP = 64;

export const TRACE_LIMITS = {
  /** Most bytes of a file, after decompression. */
  fileBytes: 2 ** 30,
  /** Most bytes of one line. */
  lineBytes: 2 ** 27,
  steps: 1_000_000,
  layers: 1024,
  /** An expert id must fit an Int16Array. */
  experts: 32_767,
  /** A token trace holds an expert id in one byte. */
  tokenTraceExperts: 256,
  topK: 64,
  tokensPerStep: 1_048_576,
  /** Most entries of any array that a trace keeps. */
  entries: 2 ** 28,
} as const;

const sizes = {
  version: z.literal(1),
  model: z.string().min(1).max(256),
  layers: z.int().min(1).max(TRACE_LIMITS.layers),
  topK: z.int().min(1).max(TRACE_LIMITS.topK),
};

const tokensPerStep = z.int().min(1).max(TRACE_LIMITS.tokensPerStep);

/** First line of a file, whichever its format. Keys that say where it came from are let be. */
export const headerSchema = z
  .discriminatedUnion('format', [
    z.object({
      format: z.literal('token-trace'),
      ...sizes,
      experts: z.int().min(1).max(TRACE_LIMITS.tokenTraceExperts),
      tokensPerStep: tokensPerStep.default(DEFAULT_TOKENS_PER_STEP),
    }),
    z.object({
      format: z.literal('load-trace'),
      ...sizes,
      experts: z.int().min(1).max(TRACE_LIMITS.experts),
      tokensPerStep,
    }),
  ])
  .refine((header) => header.topK <= header.experts, {
    path: ['topK'],
    error: 'must not be larger than experts',
  });

export type FileHeader = z.infer<typeof headerSchema>;

/** One sequence of a token trace; experts is base64 of uint8 [tokens × layers × topK]. */
export const sequenceSchema = z.object({
  sequence: z.int().min(0),
  tokens: z.int().min(1),
  experts: z.string(),
});

/** One step of a load trace, [layers][experts]. */
export const stepSchema = z.object({
  step: z.int().min(0),
  loads: z.array(z.array(z.number())),
});

/** Where in which file. */
export interface TracePlace {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
}

export function refuseAt(
  place: TracePlace,
  code: string,
  field: string,
  what: string,
  fields: Readonly<Record<string, unknown>> = {},
): TraceError {
  const message = `${place.file}:${place.line}: ${field === '' ? '' : `${field}: `}${what}`;
  return new TraceError(code, message, { ...place, field, ...fields });
}

/** @throws TraceError with the code given, naming file, line and the first field that is wrong */
export function parseLine<T>(
  schema: z.ZodType<T>,
  text: string,
  place: TracePlace,
  code: string,
): T {
  const result = schema.safeParse(parseJson(text, place));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw refuseAt(place, code, issue?.path.join('.') ?? '', issue?.message ?? 'is not valid');
}

function parseJson(text: string, place: TracePlace): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `${place.file}:${place.line}: is not JSON`;
    throw new TraceError('ISOBAR_TRACE_FORMAT', message, { ...place, field: '' }, { cause });
  }
}

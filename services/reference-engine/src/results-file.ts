import { type FileHandle, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IsobarError, incarnationSchema, standingSchema } from '@isobar/protocol';
import { z } from 'zod';

/*
 * What an engine process has done, step by step, for the comparison with the oracle and the
 * summary. A rank has a file for each of its incarnations: a head of eight u32 (magic, ranks,
 * rank, layers, topK, 0, 0, 0), then for each step
 *
 *   head       f64 × 9: step, traceStep, tokens, mappingVersion, swapOpen, startedAtMs (Unix),
 *              stepMillis, ranks masked, attempts
 *   served     u32 [layers]: tokens that this rank's slots served
 *   checksums  u32 [tokens × layers × topK], of this rank's own tokens
 *
 * and a JSON file of its end, which a process that was killed does not write. Of such a process
 * the last step may be cut off: only whole ones are read.
 */

const magic = 0x32425349;
const headBytes = 8 * Uint32Array.BYTES_PER_ELEMENT;
const stepHeadNumbers = 9;
const stepHeadBytes = stepHeadNumbers * Float64Array.BYTES_PER_ELEMENT;

export interface ResultsShape {
  readonly numRanks: number;
  readonly rank: number;
  readonly incarnation: string;
  readonly numLayers: number;
  readonly topK: number;
}

export interface StepResult {
  readonly step: number;
  readonly traceStep: number;
  readonly numTokens: number;
  readonly mappingVersion: number;
  /** A swap was under way at this rank in some part of the step. */
  readonly swapOpen: boolean;
  readonly startedAtMs: number;
  readonly stepMillis: number;
  /** Members of the mapping that could not be reached in some part of the step. */
  readonly maskedRanks: number;
  /** How often the step was begun: more than once where a peer had switched in place before. */
  readonly attempts: number;
  readonly served: Uint32Array;
  readonly checksums: Uint32Array;
}

/** How long swap work held an engine up, for one version. */
export const swapResultSchema = z.object({
  version: z.number(),
  outcome: z.enum(['committed', 'void']),
  stagedExperts: z.number(),
  stagedBytes: z.number(),
  blockedMillis: z.number(),
  longestBlockMillis: z.number(),
  /** First step routed by it, −1 where it was void. */
  activatedStep: z.number(),
});
export type SwapResult = z.infer<typeof swapResultSchema>;

/** How an engine ended that was not killed. */
const endSchema = z.object({
  standing: standingSchema,
  swaps: z.array(swapResultSchema),
});
export type EngineEnd = Readonly<z.infer<typeof endSchema>>;

export interface RankResults extends ResultsShape {
  readonly steps: readonly StepResult[];
  /** Null where the process was killed. */
  readonly end: EngineEnd | null;
}

function fileNames(rank: number, incarnation: string) {
  return {
    steps: `steps-${rank}-${incarnation}.bin`,
    end: `end-${rank}-${incarnation}.json`,
  };
}

export class ResultsWriter {
  readonly #directory: string;
  readonly #shape: ResultsShape;
  readonly #file: FileHandle;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(directory: string, shape: ResultsShape, file: FileHandle) {
    this.#directory = directory;
    this.#shape = shape;
    this.#file = file;
  }

  static async create(directory: string, shape: ResultsShape): Promise<ResultsWriter> {
    const { steps } = fileNames(shape.rank, shape.incarnation);
    const file = await open(join(directory, steps), 'wx');
    const { numRanks, rank, numLayers, topK } = shape;
    const head = Uint32Array.of(magic, numRanks, rank, numLayers, topK, 0, 0, 0);
    await file.write(new Uint8Array(head.buffer));
    return new ResultsWriter(directory, shape, file);
  }

  /** Waits for the step before; its own bytes are written meanwhile. */
  async append(result: StepResult): Promise<void> {
    await this.#writing;
    const { step, traceStep, numTokens, mappingVersion, startedAtMs, stepMillis } = result;
    const swapOpen = result.swapOpen ? 1 : 0;
    const head = Float64Array.of(
      step,
      traceStep,
      numTokens,
      mappingVersion,
      swapOpen,
      startedAtMs,
      stepMillis,
      result.maskedRanks,
      result.attempts,
    );
    const parts = [head, result.served, result.checksums];
    this.#writing = this.#file.writev(
      parts.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength)),
    );
  }

  async close(engineEnd: EngineEnd): Promise<void> {
    await this.#writing;
    await this.#file.close();
    const { end } = fileNames(this.#shape.rank, this.#shape.incarnation);
    await writeFile(join(this.#directory, end), JSON.stringify(engineEnd));
  }
}

/**
 * Results of every incarnation that a rank had in a run, in the order in which they served.
 * @throws IsobarError ISOBAR_ENGINE_RESULTS where the files can't be read
 */
export async function readResults(directory: string, rank: number): Promise<RankResults[]> {
  try {
    const files = await readdir(directory);
    const pattern = new RegExp(`^steps-${rank}-([0-9a-f]{16})\\.bin$`);
    const incarnations = files.flatMap((name) => pattern.exec(name)?.[1] ?? []);
    const results = await Promise.all(
      incarnations.map((incarnation) => {
        const { end } = fileNames(rank, incarnation);
        return readIncarnation(directory, rank, incarnation, files.includes(end));
      }),
    );
    const startOf = ({ steps }: RankResults) => steps[0]?.startedAtMs ?? Number.POSITIVE_INFINITY;
    return results.sort((left, right) => Math.sign(startOf(left) - startOf(right)) || 0);
  } catch (cause) {
    const text = `the results of rank ${rank} can't be read in ${directory}`;
    throw new IsobarError('ISOBAR_ENGINE_RESULTS', text, { directory, rank }, { cause });
  }
}

async function readIncarnation(
  directory: string,
  rank: number,
  incarnation: string,
  hasEnd: boolean,
): Promise<RankResults> {
  const names = fileNames(rank, incarnationSchema.parse(incarnation));
  const bytes = new Uint8Array(await readFile(join(directory, names.steps))).slice();
  const head = new Uint32Array(bytes.buffer, 0, headBytes / Uint32Array.BYTES_PER_ELEMENT);
  const [found, numRanks = 0, , numLayers = 0, topK = 0] = head;
  if (found !== magic) throw new Error(`${names.steps} is not a results file`);
  const shape = { numRanks, rank, incarnation, numLayers, topK };
  const end = hasEnd
    ? endSchema.parse(JSON.parse(await readFile(join(directory, names.end), 'utf8')))
    : null;
  return { ...shape, steps: readSteps(bytes, shape), end };
}

function readSteps(bytes: Uint8Array<ArrayBuffer>, shape: ResultsShape): StepResult[] {
  const steps: StepResult[] = [];
  for (let at = headBytes; at + stepHeadBytes <= bytes.byteLength; ) {
    const head = new Float64Array(bytes.slice(at, at + stepHeadBytes).buffer);
    const [step = 0, traceStep = 0, numTokens = 0, mappingVersion = 0, swapOpen = 0] = head;
    const servedAt = at + stepHeadBytes;
    const checksumsAt = servedAt + shape.numLayers * Uint32Array.BYTES_PER_ELEMENT;
    const numChecksums = numTokens * shape.numLayers * shape.topK;
    at = checksumsAt + numChecksums * Uint32Array.BYTES_PER_ELEMENT;
    if (at > bytes.byteLength) break;
    steps.push({
      step,
      traceStep,
      numTokens,
      mappingVersion,
      swapOpen: swapOpen === 1,
      startedAtMs: head[5] ?? 0,
      stepMillis: head[6] ?? 0,
      maskedRanks: head[7] ?? 0,
      attempts: head[8] ?? 1,
      served: new Uint32Array(bytes.buffer, servedAt, shape.numLayers),
      checksums: new Uint32Array(bytes.buffer, checksumsAt, numChecksums),
    });
  }
  return steps;
}

import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IsobarError } from '@isobar/protocol';
import { z } from 'zod';

/*
 * What a rank has done, step by step, for the comparison with the oracle and the summary:
 * a head of eight u32 (magic, ranks, rank, layers, topK, 0, 0, 0), then for each step
 *
 *   head       f64 × 8: step, traceStep, tokens, mappingVersion, swapOpen, startedAtMs (Unix),
 *              stepMillis, ranks masked
 *   served     u32 [layers]: tokens that this rank's slots served
 *   checksums  u32 [tokens × layers × topK], of this rank's own tokens
 */

const magic = 0x31425349;
const headNumbers = 8;
const stepHeadBytes = headNumbers * Float64Array.BYTES_PER_ELEMENT;

export interface ResultsShape {
  readonly numRanks: number;
  readonly rank: number;
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
  readonly maskedRanks: number;
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

export interface RankResults extends ResultsShape {
  readonly steps: readonly StepResult[];
  readonly swaps: readonly SwapResult[];
}

const stepsFile = (directory: string, rank: number) => join(directory, `steps-${rank}.bin`);
const swapsFile = (directory: string, rank: number) => join(directory, `swaps-${rank}.json`);

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
    const file = await open(stepsFile(directory, shape.rank), 'w');
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
    );
    const parts = [head, result.served, result.checksums];
    this.#writing = this.#file.writev(
      parts.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength)),
    );
  }

  async close(swaps: readonly SwapResult[]): Promise<void> {
    await this.#writing;
    await this.#file.close();
    await writeFile(swapsFile(this.#directory, this.#shape.rank), JSON.stringify(swaps));
  }
}

/** @throws IsobarError ISOBAR_ENGINE_RESULTS where the files are not there or not whole */
export async function readResults(directory: string, rank: number): Promise<RankResults> {
  try {
    const bytes = new Uint8Array(await readFile(stepsFile(directory, rank))).slice();
    const swaps = z
      .array(swapResultSchema)
      .parse(JSON.parse(await readFile(swapsFile(directory, rank), 'utf8')));
    const [found, numRanks = 0, , numLayers = 0, topK = 0] = new Uint32Array(
      bytes.buffer,
      0,
      headNumbers,
    );
    if (found !== magic) throw new Error('not a results file');
    const shape = { numRanks, rank, numLayers, topK };
    return { ...shape, swaps, steps: readSteps(bytes, shape) };
  } catch (cause) {
    const text = `the results of rank ${rank} can't be read in ${directory}`;
    throw new IsobarError('ISOBAR_ENGINE_RESULTS', text, { directory, rank }, { cause });
  }
}

function readSteps(bytes: Uint8Array<ArrayBuffer>, shape: ResultsShape): StepResult[] {
  const steps: StepResult[] = [];
  let at = headNumbers * Uint32Array.BYTES_PER_ELEMENT;
  while (at < bytes.byteLength) {
    const head = new Float64Array(bytes.slice(at, at + stepHeadBytes).buffer);
    const [step = 0, traceStep = 0, numTokens = 0, mappingVersion = 0, swapOpen = 0] = head;
    at += stepHeadBytes;
    const served = new Uint32Array(bytes.buffer, at, shape.numLayers);
    at += served.byteLength;
    const checksums = new Uint32Array(bytes.buffer, at, numTokens * shape.numLayers * shape.topK);
    at += checksums.byteLength;
    steps.push({
      step,
      traceStep,
      numTokens,
      mappingVersion,
      swapOpen: swapOpen === 1,
      startedAtMs: head[5] ?? 0,
      stepMillis: head[6] ?? 0,
      maskedRanks: head[7] ?? 0,
      served,
      checksums,
    });
  }
  return steps;
}

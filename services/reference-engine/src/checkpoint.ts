import { createHash, randomFillSync } from 'node:crypto';
import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IsobarError } from '@isobar/protocol';
import { z } from 'zod';
import { bytesPerExpert, hiddenSize, intermediateSize, numbersPerExpert } from './model-shape.js';

/*
 * The deployment's weights: a flat file of every expert, layer by layer, and a manifest with
 * each expert's digest (rule S5). It is drawn once and can't be drawn again. Engines read the
 * experts of their first slots from it; later it is their backing store.
 */

const manifestSchema = z.object({
  modelRevision: z.string(),
  numLayers: z.number().int().positive(),
  numExperts: z.number().int().positive(),
  hiddenSize: z.literal(hiddenSize),
  intermediateSize: z.literal(intermediateSize),
  digestAlgorithm: z.literal('sha256'),
  /** [layers × experts] */
  digests: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
});
type Manifest = z.infer<typeof manifestSchema>;

const weightsFile = 'weights.bin';
const manifestFile = 'manifest.json';

/** SHA-256 over an expert's canonical bytes: both matrices as little-endian 64-bit numbers. */
export function weightDigest(weights: Uint8Array): string {
  return createHash('sha256').update(weights).digest('hex');
}

/** Draws the weights of a model and writes checkpoint and manifest into `directory`. */
export async function writeCheckpoint(
  directory: string,
  model: { readonly numLayers: number; readonly numExperts: number },
): Promise<void> {
  const digests: string[] = [];
  const file = await open(join(directory, weightsFile), 'wx');
  try {
    for (let index = 0; index < model.numLayers * model.numExperts; index += 1) {
      const bytes = Buffer.from(drawExpert().buffer);
      digests.push(weightDigest(bytes));
      await file.write(bytes);
    }
  } finally {
    await file.close();
  }
  const manifest: Manifest = {
    modelRevision: createHash('sha256').update(digests.join('')).digest('hex').slice(0, 16),
    ...model,
    hiddenSize,
    intermediateSize,
    digestAlgorithm: 'sha256',
    digests,
  };
  await writeFile(join(directory, manifestFile), JSON.stringify(manifest));
}

function drawExpert(): Float64Array<ArrayBuffer> {
  const random = randomFillSync(new Uint32Array(numbersPerExpert));
  // Scaled so that an expert's output is about as large as its input.
  const scale = 3.5 / Math.sqrt(Math.sqrt(hiddenSize * intermediateSize));
  return Float64Array.from(random, (value) => (value / 0x8000_0000 - 1) * scale);
}

/** Weights and manifest of a deployment, opened for reading. */
export class Checkpoint {
  readonly modelRevision: string;
  readonly numLayers: number;
  readonly numExperts: number;
  readonly #digests: readonly string[];
  readonly #file: FileHandle;

  private constructor(manifest: Manifest, file: FileHandle) {
    this.modelRevision = manifest.modelRevision;
    this.numLayers = manifest.numLayers;
    this.numExperts = manifest.numExperts;
    this.#digests = manifest.digests;
    this.#file = file;
  }

  /** @throws IsobarError ISOBAR_ENGINE_CHECKPOINT */
  static async open(directory: string): Promise<Checkpoint> {
    try {
      const text = await readFile(join(directory, manifestFile), 'utf8');
      const manifest = manifestSchema.parse(JSON.parse(text));
      const file = await open(join(directory, weightsFile), 'r');
      return new Checkpoint(manifest, file);
    } catch (cause) {
      const text = `no checkpoint can be read in ${directory}`;
      throw new IsobarError('ISOBAR_ENGINE_CHECKPOINT', text, { directory }, { cause });
    }
  }

  digest(layer: number, expert: number): string {
    return this.#digests[layer * this.numExperts + expert] ?? '';
  }

  /**
   * Reads one expert into `weights`.
   * @throws IsobarError ISOBAR_ENGINE_CHECKPOINT where the file ends before it
   */
  async readExpert(layer: number, expert: number, weights: Float64Array): Promise<void> {
    const bytes = new Uint8Array(weights.buffer, weights.byteOffset, bytesPerExpert);
    const position = (layer * this.numExperts + expert) * bytesPerExpert;
    const { bytesRead } = await this.#file.read(bytes, 0, bytesPerExpert, position);
    if (bytesRead === bytesPerExpert) return;
    const text = `the checkpoint ends before expert ${expert} of layer ${layer}`;
    throw new IsobarError('ISOBAR_ENGINE_CHECKPOINT', text, { layer, expert });
  }

  /**
   * Reads one expert into `weights` and checks its digest (rule S5).
   * @throws IsobarError ISOBAR_ENGINE_CHECKPOINT; ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH
   */
  async readVerified(layer: number, expert: number, weights: Float64Array): Promise<void> {
    await this.readExpert(layer, expert, weights);
    this.verify(layer, expert, weights);
  }

  /** @throws IsobarError ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH */
  verify(layer: number, expert: number, weights: Float64Array): void {
    const digest = weightDigest(new Uint8Array(weights.buffer, weights.byteOffset, bytesPerExpert));
    if (digest === this.digest(layer, expert)) return;
    const text = `expert ${expert} of layer ${layer} does not have the manifest's digest`;
    const fields = { layer, expert, digest };
    throw new IsobarError('ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH', text, fields);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

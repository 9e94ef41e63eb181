import { readFile } from 'node:fs/promises';
import { parseEngineAddress } from '@isobar/engine';
import { activationSchema, deploymentSchema, IsobarError, rankSchema } from '@isobar/protocol';
import { z } from 'zod';
import { faultsSchema } from './faults.js';

/** Settings of one engine process, a JSON file. */
export const engineSettingsSchema = z
  .object({
    deployment: deploymentSchema,
    /** Where settings are shared, each engine is told its own. */
    rank: rankSchema.default(0),
    numRanks: z.number().int().min(1).max(256),
    /** Where the agent finds this engine: unix:PATH or tcp://HOST:PORT, {rank} in it is the rank. */
    listen: z.string(),
    /** Folder of the ranks' own sockets. */
    peerDirectory: z.string().min(1),
    checkpointDirectory: z.string().min(1),
    resultsDirectory: z.string().min(1),
    /** Traffic to serve, one trace step an engine step, in a loop. */
    trace: z.string().min(1),
    /** Physical slots of a layer, over all ranks. */
    numPhysicalExperts: z.number().int().positive(),
    activation: activationSchema,
    spareBuffers: z.number().int().min(0).max(65_536),
    reserveBuffers: z.number().int().min(0).max(65_536),
    /** Modelled time of a layer at a rank with the mean load, in ms. */
    meanLayerMillis: z.number().min(2).max(10_000),
    loadIntervalMs: z.number().int().min(10).max(60_000),
    /** Most weights that a rank takes in while staging. */
    stagingBytesPerSecond: z.number().positive(),
    /** For all ranks of a new group to come together; one that waits longer joins instead. */
    groupDeadlineMs: z.number().int().min(100).max(3_600_000).default(60_000),
    /** Peers are asked for the outcome of a vote when no leader's word has come for so long. */
    askPeersAfterMs: z.number().int().min(100).max(3_600_000).default(3_000),
    /**
     * File with the number of slots of a layer that this rank offers, read at the start and at
     * SIGUSR2. @default it offers all
     */
    offeredSlotsFile: z.string().min(1).optional(),
    /** Asked to stop, it leaves its group first and lets the others go on. */
    leaveOnStop: z.boolean().default(false),
    /** It ends then whether it has left or not. */
    leaveDeadlineMs: z.number().int().min(100).max(3_600_000).default(60_000),
    faults: faultsSchema,
  })
  .strict()
  .refine((settings) => settings.rank < settings.numRanks, {
    path: ['rank'],
    message: 'must be below numRanks',
  });

export type EngineSettings = Readonly<z.infer<typeof engineSettingsSchema>>;

/**
 * @param rank over the file's own, as it was written on the command line
 * @throws IsobarError ISOBAR_ENGINE_SETTINGS naming file and field
 */
export async function readSettings(path: string, rank?: string): Promise<EngineSettings> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw refuse(path, '', 'it can not be read as JSON', cause);
  }
  const own = rank === undefined ? {} : { rank: /^\d{1,5}$/.test(rank) ? Number(rank) : rank };
  const parsed = engineSettingsSchema.safeParse(
    value instanceof Object ? { ...value, ...own } : value,
  );
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw refuse(path, issue?.path.join('.') ?? '', issue?.message ?? 'invalid');
  }
  const listen = parsed.data.listen.replaceAll('{rank}', String(parsed.data.rank));
  parseEngineAddress(listen);
  return { ...parsed.data, listen };
}

/** @throws IsobarError ISOBAR_ENGINE_SETTINGS */
export async function readOfferedSlots(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw refuse(path, '', 'it can not be read', cause);
  });
  const slots = z.coerce.number().int().min(0).safeParse(text.trim());
  if (slots.success && text.trim() !== '') return slots.data;
  throw refuse(path, '', 'it must hold a number of slots');
}

function refuse(path: string, field: string, why: string, cause?: unknown): IsobarError {
  const text = `engine settings ${path}${field === '' ? '' : `, field ${field}`}: ${why}`;
  return new IsobarError('ISOBAR_ENGINE_SETTINGS', text, { path, field }, { cause });
}

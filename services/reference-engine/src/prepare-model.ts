import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { generateTrace, writeTrace } from '@isobar/trace';
import { writeCheckpoint } from './checkpoint.js';
import type { EngineSettings } from './settings.js';

/** Small enough for eight ranks on one machine. */
const traffic = {
  seed: 1,
  numLayers: 6,
  numExperts: 32,
  topK: 4,
  tokensPerStep: 64,
  numSteps: 256,
} as const;

/**
 * Draws weights and traffic where the settings look for them. What is there already stays: weights
 * can't be drawn again.
 */
export async function prepareModel({ checkpointDirectory, trace }: EngineSettings): Promise<void> {
  await makeWhole(checkpointDirectory, async (draft) => {
    await mkdir(draft);
    await writeCheckpoint(draft, traffic);
  });
  await makeWhole(trace, (draft) => writeTrace(draft, generateTrace(traffic)));
}

/** Under its name only once it is complete. */
async function makeWhole(path: string, make: (draft: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) return;
  const scratch = await mkdtemp(join(dirname(path), '.draft-'));
  try {
    // The name tells a trace's format.
    const draft = join(scratch, basename(path));
    await make(draft);
    await rename(draft, path);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

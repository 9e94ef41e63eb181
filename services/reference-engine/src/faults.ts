import { rankSchema } from '@isobar/protocol';
import { z } from 'zod';
import type { OwnHead } from './expert-server.js';
import { encodeDispatch } from './forward-frames.js';
import type { PeerLink } from './peer-link.js';
import { dispatchOf } from './token-routes.js';

/** Faults that tests ask for; none by default. */
export const faultsSchema = z
  .object({
    /** Damages the first staged expert of this version before its digest is checked. */
    corruptStagingOfVersion: z.number().int().positive().optional(),
    /** The same for every version that this number divides. */
    corruptStagingEvery: z.number().int().positive().optional(),
    /** Damages the first staged expert of this version after its digest was checked. */
    wrongWeightsInVersion: z.number().int().positive().optional(),
    /**
     * Asks no peer for outcomes. In the step after all peers have shown to know `version` as
     * committed it sends the step's first tokens to `tokensTo` alone, and dies.
     */
    diesBefore: z
      .object({ version: z.number().int().positive(), tokensTo: z.array(rankSchema) })
      .strict()
      .optional(),
  })
  .strict();

export type Faults = Readonly<z.infer<typeof faultsSchema>>;

export function corruptsStaging(faults: Faults, version: number): boolean {
  const { corruptStagingOfVersion: one, corruptStagingEvery: every } = faults;
  return one === version || (every !== undefined && version % every === 0);
}

/** Changes one number of an expert's weights. */
export function damage(weights: Float64Array): void {
  weights[0] = (weights[0] ?? 0) + 1;
}

/** Sends the first tokens of a step, none of this rank, to some peers, and kills this process. */
export async function dieAmidStep(
  links: readonly PeerLink[],
  ranks: readonly number[],
  step: number,
  own: OwnHead,
): Promise<never> {
  const head = { ...own, step, layer: 0, attempt: 0 };
  const nothing = encodeDispatch(dispatchOf({ head, states: new Float64Array(0) }, [], []));
  for (const link of links) {
    if (!ranks.includes(link.rank)) continue;
    link.send(nothing);
    await link.sent();
  }
  process.kill(process.pid, 'SIGKILL');
  // Nothing comes after: the signal can't be handled.
  return new Promise<never>(() => undefined);
}

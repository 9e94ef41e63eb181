import { z } from 'zod';

/** Faults that tests ask for; none by default. */
export const faultsSchema = z
  .object({
    /** Damages the first staged expert of this version before its digest is checked. */
    corruptStagingOfVersion: z.number().int().positive().optional(),
    /** The same for every version that this number divides. */
    corruptStagingEvery: z.number().int().positive().optional(),
    /** Damages the first staged expert of this version after its digest was checked. */
    wrongWeightsInVersion: z.number().int().positive().optional(),
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

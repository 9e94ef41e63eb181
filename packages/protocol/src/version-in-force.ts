import { z } from 'zod';
import { digestSchema, versionSchema } from './schemas.js';

/** A committed version and its mapping's digest: what the next one is made on. */
export const versionInForceSchema = z.object({ version: versionSchema, digest: digestSchema });

export type VersionInForce = Readonly<z.infer<typeof versionInForceSchema>>;

export function sameVersion(left: VersionInForce, right: VersionInForce): boolean {
  return left.version === right.version && left.digest === right.digest;
}

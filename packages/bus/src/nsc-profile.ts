import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';

const run = promisify(execFile);
const deadlineMs = 10_000;
const outputBytesMax = 65_536;

const profileSchema = z.object({
  user_creds: z.string().min(1).max(4_096),
  operator: z.object({ service: z.array(z.string().max(4_096)).max(64).nullish() }).nullish(),
});

/** Where `nsc` keeps a user's credentials, and the servers of its operator. */
export interface NscProfile {
  readonly creds: string;
  /** None where the operator names none. */
  readonly servers: readonly string[];
}

/**
 * Asks `nsc`, as the stock client does: its store of keys has a layout of its own.
 * @param reference nsc://OPERATOR/ACCOUNT/USER, or without its scheme
 * @throws Error that says why, and shows nothing of what `nsc` has printed
 */
export async function readNscProfile(reference: string): Promise<NscProfile> {
  const url = `nsc://${reference.replace(/^nsc:\/\//i, '')}`;
  if (!/^nsc:\/\/[^/\s-][^/\s]*(\/[^/\s]+){0,2}$/.test(url)) {
    throw new Error('is no nsc://OPERATOR/ACCOUNT/USER');
  }
  let output: string;
  try {
    const limits = { timeout: deadlineMs, maxBuffer: outputBytesMax };
    ({ stdout: output } = await run('nsc', ['generate', 'profile', url], limits));
  } catch (cause) {
    throw new Error(whyNot(cause, url));
  }
  try {
    const { user_creds: creds, operator } = profileSchema.parse(JSON.parse(output));
    return { creds, servers: operator?.service ?? [] };
  } catch {
    // No cause: it may quote the output.
    throw new Error(`'nsc generate profile ${url}' names no credentials`);
  }
}

function whyNot(cause: unknown, url: string): string {
  const { code, killed } = cause as { readonly code?: unknown; readonly killed?: boolean };
  if (code === 'ENOENT') {
    return "needs the command nsc, which is not in PATH: install it, or write the user's credentials with 'nsc generate creds' and name their file in the field creds";
  }
  const ended = killed === true ? `is not done after ${deadlineMs} ms` : `has ended with ${code}`;
  return `'nsc generate profile ${url}' ${ended}: run it to see why`;
}

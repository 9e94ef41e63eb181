/*
 * Why a rank votes no: the code of what went wrong and a text for people, as one `Vote.reason`.
 */

export function refusalReason(code: string, message: string): string {
  return `${code}: ${message}`;
}

/** Weights did not come from where the proposal said, or were others than the manifest's. */
const transferCodes = ['ISOBAR_ENGINE_TRANSFER_FAILED', 'ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH'];

/** Whether a source that the proposal named is to blame. */
export function blamesSource(reason: string): boolean {
  return transferCodes.some((code) => reason.startsWith(refusalReason(code, '')));
}

import { type CommandRequest, endedRequest } from '../commands/command-request.js';
import { decodeMapRecord, type MapRecord } from '../map-record.js';
import { holdsExperts } from '../membership/membership.js';
import type { Ground } from '../swap/ground.js';

/**
 * Commands that the leader before had begun: what became of them, as far as the records tell. None
 * is begun again, and none is left running that nobody follows any more.
 */
export function recoverRequests(
  requests: readonly CommandRequest[],
  ground: Ground,
): CommandRequest[] {
  return requests.map((request) =>
    request.outcome === null ? recovered(request, ground) : request,
  );
}

function recovered(request: CommandRequest, ground: Ground): CommandRequest {
  const { version, digest } = ground.newest;
  const { targetDigest, awaitedVersion, emptiedRanks, baseVersion } = request;
  if (targetDigest === digest && version > (baseVersion ?? version)) {
    return endedRequest(request, 'committed', `version ${version} is in force`, version);
  }
  if (awaitedVersion !== null) {
    const record = recordOf(ground, awaitedVersion);
    if (record !== null) {
      const outcome = record.outcome === 'void' ? 'cancelled' : 'committed';
      const reason = `version ${awaitedVersion} is ${record.outcome}: ${record.reason}`;
      return endedRequest(request, outcome, reason, version);
    }
  }
  if (emptiedRanks.length > 0 && !emptiedRanks.some((rank) => holdsExperts(ground.mapping, rank))) {
    return endedRequest(
      request,
      'committed',
      `rank ${emptiedRanks.join(', ')} holds nothing`,
      version,
    );
  }
  const empties = request.command === 'drain' || request.command === 'offer';
  const goesOn = empties ? '; slots go on being emptied' : '';
  const reason = `the leader that began it is gone${goesOn}; version ${version} is in force`;
  return endedRequest(request, 'unknown', reason, version);
}

function recordOf({ outcomes }: Ground, version: number): MapRecord | null {
  const known = outcomes.find((outcome) => outcome.version === version);
  return known === undefined ? null : decodeMapRecord(known.record);
}

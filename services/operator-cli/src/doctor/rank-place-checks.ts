import type { RankStatus, StatusAnswer } from '@isobar/protocol';
import { type Check, ok, skip, warn } from './check.js';
import { describePlace } from './describe-place.js';

/**
 * Of each rank, where it runs and who says which it is.
 * @param placesRefused why the status has no places, null where it has them
 */
export function rankPlaceChecks({ ranks }: StatusAnswer, placesRefused: string | null): Check[] {
  if (placesRefused !== null) return [skip('each rank', placesRefused)];
  return ranks.map(rankPlace);
}

function rankPlace({ rank, place, origin, node }: RankStatus): Check {
  const name = `rank ${rank}`;
  if (place == null && origin == null) return skip(name, 'does not tell where it runs');
  const by = origin == null ? [] : [`by ${origin.source}`, ...others(origin)];
  const at = place == null ? [] : [describePlace(place)];
  const found = [...by, ...at, `topology: ${node ?? 'not told'}`].join('; ');
  const [warning] = origin?.warnings ?? [];
  if (warning === undefined) return ok(name, found);
  return warn(name, found, warning);
}

function others({ source, tellings }: NonNullable<RankStatus['origin']>): string[] {
  const rest = tellings.filter((telling) => telling.source !== source);
  return rest.map(({ source: of, rank }) => `${of} says ${rank}`);
}

import { nodeLevelOf, type Place } from './place.js';
import { Topology } from './topology.js';
import { TopologyError } from './topology-error.js';
import type { TopologyLevel } from './topology-spec.js';

/**
 * The topology that ranks' places tell of.
 * @param places of each rank, [ranks]; null where it is not told
 * @param like its levels are taken, their links and marks; its ranks are not. The outermost level is
 *   one domain where no place says otherwise, a fast domain beyond the machine may be told by NVLink
 * @throws TopologyError ISOBAR_TOPOLOGY_PLACES naming the rank and the level that it does not tell;
 *   ISOBAR_TOPOLOGY_INVALID where what they tell does not nest
 */
export function topologyOfPlaces(places: readonly (Place | null)[], like: Topology): Topology {
  const { levels } = like;
  const domains = levels.map((level, index) =>
    places.map((place, rank) => {
      if (place === null) throw refuse(rank, 'where it runs', null);
      const domain = domainTold(place, level, index === nodeLevelOf(like));
      if (domain !== null) return domain;
      if (index === levels.length - 1) return level.name;
      throw refuse(rank, `its ${level.name}`, level);
    }),
  );
  return Topology.create({ levels, domains });
}

function domainTold(
  { domains, node, gpu }: Place,
  { name, fastDomain }: TopologyLevel,
  isMachine: boolean,
): string | null {
  const named = domains[name];
  if (named !== undefined) return named;
  if (isMachine) return node;
  return fastDomain ? (gpu?.nvlinkDomain ?? null) : null;
}

function refuse(rank: number, what: string, level: TopologyLevel | null): TopologyError {
  const text = `rank ${rank} does not tell ${what}`;
  const fields = { rank, ...(level === null ? {} : { level: level.name }) };
  return new TopologyError('ISOBAR_TOPOLOGY_PLACES', text, fields);
}

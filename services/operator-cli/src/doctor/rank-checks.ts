import type { RankStatus, StatusAnswer } from '@isobar/protocol';
import { usableSlotsOf } from '../drawing/rank-wishes.js';
import { counted, ranges, seconds } from '../table.js';
import { type Check, fail, ok, skip, warn } from './check.js';
import { setClocks, signed, skewMsMax } from './clock-tolerance.js';

/** Ranks report every second. */
const reportLateMs = 5_000;
/** Samples come every second by default, and where loads are told more seldom not this seldom. */
const sampleLateMs = 15_000;

/** Contradictions between places and topology, each a line. */
const contradictionsTold = 8;

/**
 * Agents and engines, one check for each thing that may be wrong with them.
 * @param placesRefused why the status has no places, null where it has them
 */
export function rankChecks(status: StatusAnswer, placesRefused: string | null): Check[] {
  return [
    topology(status),
    ...places(status, placesRefused),
    rankSources(status, placesRefused),
    reports(status),
    engines(status),
    members(status),
    leaving(status),
    offers(status),
    mappingVersions(status),
    software(status),
    clocks(status),
    models(status),
    ownBalancers(status),
    buffers(status),
    idle(status),
    connections(status),
  ];
}

function numbers(ranks: readonly RankStatus[]): string {
  return `rank ${ranges(ranks.map(({ rank }) => rank))}`;
}

function topology({ ranks, mapping }: StatusAnswer): Check {
  const name = 'topology';
  const nodes = new Set(ranks.map(({ node }) => node ?? '')).size;
  const found = `${ranks.length} ranks on ${nodes} nodes; the mapping has ${mapping.ranks} ranks`;
  if (ranks.length === mapping.ranks) return ok(name, found);
  return fail(name, found, 'give the coordinators the topology of this cluster');
}

function places(
  { ranks, placeContradictions = [] }: StatusAnswer,
  placesRefused: string | null,
): Check[] {
  const name = 'places';
  const advice =
    'make the topology say where the ranks run, or have them run where it says; docs/OPERATIONS.md, alarm topology-contradicted';
  if (placeContradictions.length > 0) {
    return placeContradictions
      .slice(0, contradictionsTold)
      .map(({ what }) => fail(name, what, advice));
  }
  if (placesRefused !== null) {
    return [skip(name, `nothing contradicts the topology; where ranks run: ${placesRefused}`)];
  }
  const told = ranks.flatMap(({ place }) => place ?? []);
  if (told.length === 0) return [skip(name, 'no agent that is heard tells where it runs')];
  const machines = new Set(told.map(({ node }) => node)).size;
  const gpus = told.filter(({ gpu }) => gpu !== null).length;
  const found = `${counted(told.length, 'rank')} on ${counted(machines, 'machine')}, as the topology has them; ${gpus} tell of their GPU`;
  return [ok(name, found)];
}

function rankSources({ ranks }: StatusAnswer, placesRefused: string | null): Check {
  const name = 'rank sources';
  if (placesRefused !== null) return skip(name, placesRefused);
  const told = ranks.flatMap(({ rank, origin }) => (origin == null ? [] : [{ rank, origin }]));
  if (told.length === 0) return skip(name, 'no agent that is heard tells how it came to its rank');
  const doubted = told.filter(({ origin }) => origin.warnings.length > 0);
  const [first] = doubted;
  if (first !== undefined) {
    const which = ranges(doubted.map(({ rank }) => rank));
    const found = `contradicted on rank ${which}; rank ${first.rank}: ${first.origin.warnings[0]}`;
    return warn(
      name,
      found,
      'isobar doctor --ranks tells of each; correct the launcher, or what it is told',
    );
  }
  const sources = [...new Set(told.map(({ origin }) => origin.source))];
  const each = sources.map((source) => {
    const of = told.filter(({ origin }) => origin.source === source);
    return `rank ${ranges(of.map(({ rank }) => rank))} by ${source}`;
  });
  return ok(name, each.join('; '));
}

function reports({ ranks }: StatusAnswer): Check {
  const name = 'agents';
  const missing = ranks.filter(({ reportAgeMs }) => reportAgeMs === null);
  const silent = ranks.filter(({ reportAgeMs }) => (reportAgeMs ?? 0) > reportLateMs);
  const advice = 'see that the rank-agent runs there, and reaches NATS as agent of that rank';
  if (missing.length > 0) return fail(name, `never heard: ${numbers(missing)}`, advice);
  const ages = ranks.map(({ reportAgeMs }) => reportAgeMs ?? 0);
  const oldest = seconds(Math.max(0, ...ages));
  if (silent.length > 0) return fail(name, `silent: ${numbers(silent)}, up to ${oldest}`, advice);
  return ok(name, `all ${ranks.length} report; the oldest report is ${oldest} old`);
}

function engines({ ranks }: StatusAnswer): Check {
  const name = 'engines';
  const away = ranks.filter((rank) => rank.reportAgeMs !== null && !rank.engineConnected);
  if (away.length === 0) return ok(name, 'every agent that is heard has its engine');
  const advice =
    'start the engine, or look at the log of its agent: an engine whose own balancer is on is refused';
  return fail(name, `agents without an engine: ${numbers(away)}`, advice);
}

function members({ ranks, dead, suspected }: StatusAnswer): Check {
  const name = 'members';
  if (dead.length > 0) {
    const told = dead.map(({ rank, proof }) => `rank ${rank} (${proof})`).join(', ');
    const advice = 'experts move away by themselves; start engine and agent anew';
    return warn(name, `proven dead: ${told}`, advice);
  }
  if (suspected.length > 0) {
    const told = suspected.map(({ rank, lostBy }) => `rank ${rank} by rank ${ranges(lostBy)}`);
    const advice = 'see whether those engines live; if not, isobar declare-dead';
    return warn(name, `lost: ${told.join(', ')}`, advice);
  }
  const outside = ranks.filter((rank) => rank.engineConnected && rank.member === null);
  if (outside.length === 0) return ok(name, 'every engine that runs is a member');
  const advice = 'one that joins is listed by itself; one that has stopped must be started anew';
  return warn(name, `no members: ${numbers(outside)}`, advice);
}

function leaving({ ranks }: StatusAnswer): Check {
  const name = 'leaving';
  const going = ranks.filter((rank) => rank.leaving);
  if (going.length === 0) return ok(name, 'no rank wants to leave');
  const advice = 'they are emptied and stop; where that takes long, isobar status tells why';
  return warn(name, numbers(going), advice);
}

function offers({ ranks, mapping }: StatusAnswer): Check {
  const name = 'slots';
  const serving = ranks.filter(({ member, drained }) => member !== null && !drained);
  const usable = serving.reduce((sum, rank) => sum + usableSlotsOf(rank), 0);
  const fewer = serving.filter((rank) => usableSlotsOf(rank) < rank.slots.own);
  const experts = counted(mapping.logicalExperts, 'expert');
  const found = `${usable} of a layer may be used, for ${experts}`;
  const told = fewer.map((rank) => `rank ${rank.rank} ${usableSlotsOf(rank)} of ${rank.slots.own}`);
  const all = [found, ...told].join('; ');
  if (usable < mapping.logicalExperts) {
    return fail(name, all, 'let ranks use more: isobar offer, isobar undrain, or more ranks');
  }
  const limited = fewer.filter(
    ({ slots: { limit, offered } }) => limit !== null && limit < offered,
  );
  if (limited.length === 0) return ok(name, all);
  return warn(name, all, "operators' limits: isobar offer --slots all lifts one");
}

function mappingVersions({ ranks, mapping, swap }: StatusAnswer): Check {
  const name = 'mapping version';
  const serving = ranks.filter(({ mappingVersion, member }) => mappingVersion !== null && member);
  const behind = serving.filter(({ mappingVersion }) => mappingVersion !== mapping.version);
  if (behind.length === 0) return ok(name, `${mapping.version} on every member`);
  const found = `version ${mapping.version}; another on ${numbers(behind)}`;
  // The switch is under way.
  if (swap !== null) return ok(name, `${found}, while a swap is open`);
  return warn(name, found, 'look at the logs of those agents');
}

function software({ ranks, leader }: StatusAnswer): Check {
  const name = 'software';
  if (leader.software === undefined) return skip(name, 'this coordinator does not tell versions');
  const heard = ranks.filter(({ reportAgeMs }) => reportAgeMs !== null);
  const others = heard.filter(({ software: of }) => of !== leader.software);
  if (others.length === 0) return ok(name, `${leader.software} everywhere`);
  const versions = [
    ...new Set(others.map(({ software: of }) => of ?? 'one that it does not tell')),
  ];
  const found = `coordinator ${leader.software}; ${numbers(others)}: ${versions.join(', ')}`;
  return warn(name, found, 'upgrade the older ones');
}

function clocks({ ranks }: StatusAnswer): Check {
  const name = 'rank clocks';
  const skews = ranks.flatMap(({ rank, clockSkewMs }) =>
    clockSkewMs == null ? [] : [{ rank, skewMs: clockSkewMs }],
  );
  if (skews.length === 0) return skip(name, 'no agent that is heard tells its time');
  const furthest = skews.reduce((far, next) =>
    Math.abs(next.skewMs) > Math.abs(far.skewMs) ? next : far,
  );
  const off = skews.filter(({ skewMs }) => Math.abs(skewMs) > skewMsMax);
  const most = `${signed(furthest.skewMs)} from the leader's on rank ${furthest.rank}`;
  if (off.length === 0) return ok(name, `at most ${most}, of ${skews.length} ranks`);
  const found = `${most}; too far: rank ${ranges(off.map(({ rank }) => rank))}`;
  // A report under way for so long looks like a clock that is behind.
  return warn(name, found, `${setClocks}; where a clock is right, its reports are late`);
}

function models({ ranks }: StatusAnswer): Check {
  const name = 'model';
  const known = ranks.flatMap(({ engine }) => (engine == null ? [] : [engine]));
  const models = [...new Set(known.map(({ modelRevision }) => modelRevision))];
  const kinds = [...new Set(known.map(({ name: of }) => of))];
  if (known.length === 0) return skip(name, 'no engine has described itself');
  const found = `${models.join(', ')} on ${kinds.join(', ')}`;
  if (models.length > 1) return fail(name, found, 'serve one revision of the model everywhere');
  return kinds.length > 1
    ? warn(name, found, 'run one version of the engine everywhere')
    : ok(name, found);
}

function ownBalancers({ ranks }: StatusAnswer): Check {
  const name = 'own balancer';
  const on = ranks.filter(({ engine }) => engine?.ownBalancer === true);
  if (on.length === 0) return ok(name, 'off in every engine that an agent has taken');
  return fail(name, `on: ${numbers(on)}`, "switch the engine's own balancing off");
}

function buffers({ ranks, swap }: StatusAnswer): Check {
  const name = 'spare buffers';
  const known = ranks.filter(({ engine }) => engine != null);
  if (known.length === 0) return skip(name, 'no engine has described itself');
  const spare = ({ engine }: RankStatus) => engine?.spareBuffers ?? 0;
  const usable = (rank: RankStatus) => spare(rank) - (rank.engine?.reserveBuffers ?? 0);
  const none = known.filter((rank) => usable(rank) <= 0);
  const raise = 'raise the spare buffers of the engine';
  if (none.length > 0) return fail(name, `none to stage into: ${numbers(none)}`, raise);
  const unreserved = known.filter(({ engine }) => engine?.reserveBuffers === 0);
  if (unreserved.length > 0) {
    const found = `none kept for evacuation: ${numbers(unreserved)}`;
    return warn(name, found, 'reserve some: a rank that dies takes experts with it');
  }
  const held = known.filter(({ freeBuffers }) => freeBuffers === 0);
  if (held.length > 0 && swap === null) {
    return warn(name, `all taken, and no swap is open: ${numbers(held)}`, 'look at those engines');
  }
  const least = known.reduce((min, rank) => (usable(rank) < usable(min) ? rank : min));
  const reserve = least.engine?.reserveBuffers ?? 0;
  return ok(name, `at least ${spare(least)} on each rank, ${reserve} of them for evacuation`);
}

function idle({ ranks }: StatusAnswer): Check {
  const name = 'idle ranks';
  const told = ranks.filter(({ sampleAgeMs }) => sampleAgeMs !== undefined);
  if (told.length === 0) return skip(name, 'this coordinator does not tell when loads came');
  const serving = told.filter(({ member }) => member !== null);
  const mute = serving.filter(
    ({ sampleAgeMs }) => sampleAgeMs == null || sampleAgeMs > sampleLateMs,
  );
  if (mute.length > 0) {
    const advice = 'see whether those engines get requests, and count and tell their tokens';
    return warn(name, `no load sample of late: ${numbers(mute)}`, advice);
  }
  const empty = serving.filter(({ loadShare, drained }) => loadShare === 0 && !drained);
  if (empty.length > 0) {
    return warn(name, `serve no tokens: ${numbers(empty)}`, 'isobar rebalance fills empty ranks');
  }
  return ok(name, 'every member tells of tokens that it serves, or is drained');
}

function connections({ messagesRefused }: StatusAnswer): Check {
  const name = 'messages';
  if (messagesRefused === 0) return ok(name, 'none was malformed or of an unknown version');
  const advice = 'the log of the coordinator names each kind: run one version everywhere';
  return warn(name, `${messagesRefused} were refused`, advice);
}

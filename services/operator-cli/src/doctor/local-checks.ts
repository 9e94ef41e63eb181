import {
  agentPlace,
  discoverAgentRank,
  discoverGpus,
  discoverRank,
  type Environment,
  type GpuDiscovery,
  gpuOf,
  loadConfiguration,
  localRankIn,
  nodeName,
  placeWithoutGpu,
  type RankDiscovery,
  rankOf,
} from '@isobar/configuration';
import { IsobarError } from '@isobar/protocol';
import type { Place } from '@isobar/topology';
import { type Check, fail, ok, skip, warn } from './check.js';
import { describePlace } from './describe-place.js';

export interface LocalQuestion {
  /** The configuration's; null: there is none, and so no topology. */
  readonly file: string | null;
  /** As after `--rank`; null where an agent would discover it. */
  readonly argument: number | null;
  readonly environment: Environment;
}

/** What an agent that is started here finds out. */
export interface LocalFacts {
  readonly hasConfiguration: boolean;
  readonly discovery: RankDiscovery;
  readonly place: Place;
  readonly gpus: GpuDiscovery;
  /** Of its engine and its state; null without a configuration or a rank. */
  readonly addresses: { readonly engine: string; readonly stateDirectory: string } | null;
}

/** @throws as loadConfiguration, discoverAgentRank and placeWithoutGpu */
export async function gatherLocalFacts(question: LocalQuestion): Promise<LocalFacts> {
  const { file, argument, environment } = question;
  const loaded = file === null ? null : await loadConfiguration(file, environment);
  const node = nodeName(environment);
  const discovery =
    loaded === null
      ? discoverRank(argument, { environment, ranksPerPod: 1, node, topology: null })
      : await discoverAgentRank(loaded, argument, environment);
  const gpus = await discoverGpus(environment, node);
  const place = placeWithoutGpu(environment, localRankIn(discovery));
  const { found } = discovery;
  return {
    hasConfiguration: loaded !== null,
    discovery,
    place: { ...place, gpu: gpuOf(gpus.gpus, environment, place.localRank) },
    gpus,
    addresses: loaded === null || found === null ? null : await agentPlace(loaded, found.rank),
  };
}

/** What was found out, and what of it would keep an agent from starting. */
export function localChecks(facts: LocalFacts): Check[] {
  const { discovery, place } = facts;
  return [
    rank(discovery),
    ...discovery.tellings.map(({ source, from, rank: told }) =>
      ok(`source ${source}`, `rank ${told}: ${from}`),
    ),
    ok('place', describePlace(place)),
    ...gpus(facts),
    addresses(facts),
  ];
}

function rank(discovery: RankDiscovery): Check {
  const name = 'rank';
  try {
    const found = `${rankOf(discovery)}, by ${discovery.found?.source}`;
    const [problem] = discovery.problems;
    if (problem === undefined) return ok(name, found);
    return warn(name, found, `it holds since it was said outright, but ${problem.message}`);
  } catch (error) {
    if (!(error instanceof IsobarError)) throw error;
    const advice = `look up ${error.code} in docs/errors.md; sources are in docs/CONFIGURATION.md`;
    return fail(name, error.message, advice);
  }
}

function gpus({ gpus: { gpus: found, notes }, place }: LocalFacts): Check[] {
  const name = 'GPUs';
  const noted = notes.map((note) => warn(name, note, 'run it by hand; its place is told without'));
  if (found.length === 0) {
    return noted.length > 0 ? noted : [skip(name, 'there is no nvidia-smi on the PATH')];
  }
  const domains = new Set(found.map(({ nvlinkDomain }) => nvlinkDomain));
  const nvlink = domains.has(null) ? 'no NVLink' : `${domains.size} NVLink domains`;
  const text = `${found.length} of this machine, ${nvlink}`;
  if (place.gpu !== null) return [...noted, ok(name, text)];
  const advice = 'set ISOBAR_LOCAL_RANK, or let the agent see the GPU of its rank alone';
  return [...noted, warn(name, `${text}; which is the rank's is not known`, advice)];
}

function addresses({ hasConfiguration, addresses: found }: LocalFacts): Check {
  const name = 'engine';
  if (!hasConfiguration) return skip(name, '--config names no configuration');
  if (found === null) return skip(name, 'follows from the rank');
  return ok(name, `${found.engine}; state in ${found.stateDirectory}`);
}

import type { ClusterShape, TrafficUnit } from '../abstract-eplb-policy.js';
import type { DispatchTable } from '../dispatch/dispatch-table.js';
import { domainCosts } from '../dispatch/fast-domains.js';
import {
  BALANCE_LOSS_MAX,
  capAfterLoss,
  type DispatchFacts,
  dispatchFacts,
  fillTable,
  layerFlows,
  meanLoad,
  refuse,
  servingRow,
} from '../dispatch/plan-dispatch.js';
import { loadsBySourceDomain } from '../dispatch/source-loads.js';
import { ExpertMapping } from '../expert-mapping.js';
import { emptyRouteBits, type RouteBits, setRoute } from './domain-coverage.js';
import type { LayerLoads } from './layer-loads.js';
import { type RouteSample, routesBySourceDomain } from './route-sample.js';
import type { SearchCluster } from './search-cluster.js';
import { TrafficSearch, type TrafficSearchLimits } from './traffic-search.js';

export interface LocalityRequest {
  /** A mapping that is balanced already: the search gives up no more of that than is allowed. */
  readonly mapping: ExpertMapping;
  /** The mapping in force, from which moves count. @default none: moves are free */
  readonly currentMapping?: ExpertMapping | undefined;
  /** Tokens expected by expert, [layers × experts]. */
  readonly loads: Float64Array;
  /** Where they come from, [layers × ranks × experts], in any scale. @default unknown */
  readonly sourceLoads?: Float64Array | undefined;
  /** Which experts share a token. @default unknown: expert sends are counted */
  readonly routes?: RouteSample | undefined;
  readonly topology: ClusterShape;
  /**
   * What is counted. `rank` is searched as `domain`: a search by ranks would save 2 to 3 % more of what
   * is counted so, and lose half of what it saves across domains. @default 'domain'
   */
  readonly trafficUnit?: TrafficUnit | undefined;
  /** [ranks] @default 1 */
  readonly rankCapacities?: Float64Array | undefined;
  /** @default none */
  readonly unavailableRanks?: readonly number[] | undefined;
  /** @default none */
  readonly pinnedSlots?: readonly number[] | undefined;
  /** Most moves from `currentMapping` in all. @default unlimited */
  readonly maxMoves?: number | undefined;
  /**
   * Traffic that a move must save: visits to other domains per token of a layer.
   * @default 0.005 with a current mapping, else 0
   */
  readonly moveCost?: number | undefined;
  /**
   * Balancedness that may be given up, against an even split of `mapping`'s replicas.
   * @default 0.02
   */
  readonly balanceLossMax?: number | undefined;
  /** Candidate changes to weigh, over all layers. @default 2,500 by slot and layer, at most 6,000,000 */
  readonly workBudget?: number | undefined;
  /** @default 1 */
  readonly seed?: number | undefined;
  /** Whether time is up: layers, and the search within one, end where they are. @default never */
  readonly isOver?: (() => boolean) | undefined;
}

export interface LocalityResult {
  /** [layers × slots] */
  readonly physicalToLogical: Int32Array;
  readonly dispatch: DispatchTable;
  /**
   * Visits to other domains per sampled token and layer, of `mapping` with each domain's nearest
   * replicas, and of the result.
   */
  readonly trafficBefore: number;
  readonly trafficAfter: number;
  /** Moves from `currentMapping`; 0 without one. */
  readonly moves: number;
  /** Candidate changes weighed. */
  readonly work: number;
}

/** Routes looked at for each layer: more tell little that is new. */
const ROUTES_MAX = 4096;
/** Parts that the routes are cut into, to see how rank loads vary. */
const BLOCKS = 8;
/** Part of the loss allowed that is planned for: sources are not known exactly. */
const LOSS_PLANNED = 0.85;
const STEPS_PER_SLOT = 2_500;
const STEPS_MAX = 6_000_000;
export const MOVE_COST = 0.005;
/** Part of the steps that a search near the current placement takes. */
const NEARBY_STEPS = 0.3;
/** Part of a layer's slots that it may change before the placement counts as far from settled. */
const SETTLED_MOVES = 0.1;
/** Temperatures, by how often a token asks for an expert: exchanging two changes visits so much. */
const HOT = 0.05;
const COLD = 0.003;

/**
 * Changes a balanced mapping so that tokens visit fewer fast domains, and plans who serves whom.
 * Deterministic for a request and its seed.
 * @throws EplbError ISOBAR_EPLB_REQUEST_INVALID naming the field
 */
export function improveLocality(request: LocalityRequest): LocalityResult {
  const facts = dispatchFacts(request);
  assertRequest(request);
  const plans = new LocalityPlanner(request, facts);
  const { mapping } = request;
  const physicalToLogical = mapping.physicalToLogical.slice();
  const slots = mapping.numPhysicalExperts;
  const layers = Array.from({ length: mapping.numLayers }, (_, layer) => {
    const plan = plans.layer(layer);
    physicalToLogical.set(plan.row, layer * slots);
    return plan;
  });
  const { numLayers, numLogicalExperts, slotOffsets } = mapping;
  const improved = ExpertMapping.create({
    numLayers,
    numLogicalExperts,
    slotOffsets,
    physicalToLogical,
  });
  const dispatch = fillTable({ ...request, mapping: improved }, facts, (layer, row, loads) => {
    const plan = layers[layer];
    if (plan === undefined) throw new RangeError(`no plan for layer ${layer}`);
    return layerFlows(facts, row, loads, plan.costs, plan.cap).parts;
  });
  const mean = (of: (plan: LayerPlan) => number) =>
    layers.reduce((sum, plan) => sum + of(plan), 0) / numLayers;
  return {
    physicalToLogical,
    dispatch,
    trafficBefore: mean(({ trafficBefore }) => trafficBefore),
    trafficAfter: mean(({ trafficAfter }) => trafficAfter),
    moves: layers.reduce((sum, { moves }) => sum + moves, 0),
    work: plans.work,
  };
}

function assertRequest(request: LocalityRequest): void {
  const { mapping, currentMapping, routes, pinnedSlots } = request;
  const { numLayers, numRanks, numLogicalExperts, numPhysicalExperts } = mapping;
  if (currentMapping !== undefined && !currentMapping.sameShape(mapping)) {
    refuse('currentMapping', 'has another shape than the mapping');
  }
  for (const slot of pinnedSlots ?? []) {
    if (Number.isInteger(slot) && slot >= 0 && slot < numPhysicalExperts) continue;
    refuse('pinnedSlots', `names slot ${slot} of ${numPhysicalExperts}`);
  }
  if (routes === undefined) return;
  const { numRoutes, topK, experts, sourceRanks } = routes;
  if (experts.length !== numRoutes * numLayers * topK || sourceRanks.length !== numRoutes) {
    refuse('routes', `are not of ${numRoutes} routes × ${numLayers} layers × ${topK} experts`);
  }
  if (experts.some((expert) => expert < -1 || expert >= numLogicalExperts)) {
    refuse('routes', `name an expert beyond ${numLogicalExperts}`);
  }
  if (sourceRanks.some((rank) => rank < -1 || rank >= numRanks)) {
    refuse('routes', `name a source rank beyond ${numRanks}`);
  }
}

interface LayerPlan {
  readonly row: Int32Array;
  /** [domains × experts × domains] */
  readonly costs: Float64Array;
  readonly cap: number;
  readonly trafficBefore: number;
  readonly trafficAfter: number;
  readonly moves: number;
}

class LocalityPlanner {
  readonly #request: LocalityRequest;
  readonly #facts: DispatchFacts;
  readonly #cluster: SearchCluster;
  readonly #domainCosts: Float64Array;
  readonly #routes: Int32Array[] | null;
  readonly #stepsPerLayer: number;
  work = 0;
  #movesLeft: number;

  constructor(request: LocalityRequest, facts: DispatchFacts) {
    const { mapping, currentMapping, topology, routes, trafficUnit } = request;
    this.#request = request;
    this.#facts = facts;
    this.#cluster = searchCluster(request, facts);
    this.#domainCosts = domainCosts(topology, facts.domains);
    const perDomain = Math.max(32, 32 * Math.ceil(ROUTES_MAX / facts.numDomains / 32));
    this.#routes =
      routes === undefined || routes.numRoutes === 0 || trafficUnit === 'expert'
        ? null
        : routesBySourceDomain(routes, facts.domainOfRank, facts.numDomains, perDomain);
    const work = Math.min(STEPS_MAX, STEPS_PER_SLOT * mapping.physicalToLogical.length);
    this.#stepsPerLayer = Math.floor((request.workBudget ?? work) / mapping.numLayers);
    const made = currentMapping?.moves(mapping).length ?? 0;
    this.#movesLeft = Math.max(0, (request.maxMoves ?? Number.POSITIVE_INFINITY) - made);
  }

  layer(layer: number): LayerPlan {
    const { mapping, currentMapping, balanceLossMax } = this.#request;
    const row = mapping.row(layer);
    const facts = this.#facts;
    const largest = largestEvenLoad(facts, layer);
    const mean = meanLoad(facts, layer);
    const loss = LOSS_PLANNED * (balanceLossMax ?? BALANCE_LOSS_MAX);
    const cap = capAfterLoss(largest, mean, loss);
    const bits = this.#bits(layer);
    const loads = this.#layerLoads(layer, mean);
    const rowBefore = currentMapping?.row(layer) ?? null;
    const limits = this.#limits(layer, mean > 0 ? cap / mean : Number.MAX_VALUE);
    const searchWith = (changes: Partial<TrafficSearchLimits>) =>
      new TrafficSearch(this.#cluster, row, rowBefore, bits, loads, { ...limits, ...changes });
    const start = searchWith({});
    let best = start;
    const isPriced = limits.moveCost > 0;
    if (isPriced) {
      // So cool that a placement which was searched before keeps to its own neighbourhood.
      const steps = Math.ceil(limits.steps * NEARBY_STEPS);
      const hot = Math.min(limits.moveCost, limits.hot);
      const nearby = searchWith({ steps, hot, cold: Math.min(limits.moveCost, limits.cold) });
      nearby.run();
      this.work += steps;
      if (nearby.cost() < best.cost()) best = nearby;
    }
    if (!isPriced || best.moves - start.moves > row.length * SETTLED_MOVES) {
      const steps = isPriced ? limits.steps - Math.ceil(limits.steps * NEARBY_STEPS) : limits.steps;
      const anywhere = searchWith({ steps });
      anywhere.run();
      this.work += steps;
      if (anywhere.cost() < best.cost()) best = anywhere;
    }
    // To the search the cap is a price; a layer that is far beyond it all the same stays as it was.
    const most = capAfterLoss(largest, mean, 2 * loss);
    const isWithin = best === start || this.#reached(layer, best, cap) <= most;
    return this.#plan(isWithin ? best : start, start, cap);
  }

  /** Largest relative rank load that shares can keep to under a search's placement. */
  #reached(layer: number, search: TrafficSearch, cap: number): number {
    const loads = loadsBySourceDomain(this.#facts, layer);
    return layerFlows(this.#facts, search.row(), loads, this.#costs(search), cap).largest;
  }

  #plan(search: TrafficSearch, start: TrafficSearch, cap: number): LayerPlan {
    this.#movesLeft -= search.moves - start.moves;
    return {
      row: search.row(),
      costs: this.#costs(search),
      cap,
      trafficBefore: start.traffic(),
      trafficAfter: search.traffic(),
      moves: search.moves,
    };
  }

  #limits(layer: number, largestLoadMax: number): TrafficSearchLimits {
    const { currentMapping, routes, moveCost, mapping, seed } = this.#request;
    const cost = moveCost ?? (currentMapping === undefined ? 0 : MOVE_COST);
    const asked = this.#routes === null ? 1 : (routes?.topK ?? 1);
    const frequency = asked / mapping.numLogicalExperts;
    return {
      largestLoadMax,
      moveCost: cost,
      maxMoves: Math.floor(this.#movesLeft / (mapping.numLayers - layer)),
      steps: this.#stepsPerLayer,
      hot: HOT * frequency,
      cold: COLD * frequency,
      seed: ((seed ?? 1) * 0x9e3779b1 + layer) | 0,
      isOver: this.#request.isOver ?? (() => false),
    };
  }

  #bits(layer: number): RouteBits {
    const { numExperts } = this.#facts;
    const routes = this.#request.routes;
    if (this.#routes === null || routes === undefined) return this.#sends(layer);
    const { numLayers } = this.#facts;
    const bits = emptyRouteBits(
      Int32Array.from(this.#routes, ({ length }) => length),
      numExperts,
    );
    this.#routes.forEach((ofDomain, domain) => {
      ofDomain.forEach((route, index) => {
        const first = (route * numLayers + layer) * routes.topK;
        for (let at = first; at < first + routes.topK; at += 1) {
          const expert = routes.experts[at] ?? -1;
          if (expert >= 0) setRoute(bits, domain, index, expert);
        }
      });
    });
    return bits;
  }

  /** Where no routes are known each bit is a send to one expert, as often as its load says. */
  #sends(layer: number): RouteBits {
    const { numDomains, numExperts } = this.#facts;
    const loads = loadsBySourceDomain(this.#facts, layer);
    const perDomain = Math.ceil(ROUTES_MAX / numDomains);
    const bits = emptyRouteBits(new Int32Array(numDomains).fill(perDomain), numExperts);
    const total = loads.reduce((sum, load) => sum + load, 0);
    if (total === 0) return bits;
    for (let domain = 0; domain < numDomains; domain += 1) {
      const row = loads.subarray(domain * numExperts, (domain + 1) * numExperts);
      const ofDomain = row.reduce((sum, load) => sum + load, 0);
      let sum = 0;
      let next = 0;
      row.forEach((load, expert) => {
        sum += load;
        const last = ofDomain > 0 ? Math.round((sum / ofDomain) * perDomain) : 0;
        for (; next < last; next += 1) setRoute(bits, domain, next, expert);
      });
    }
    return bits;
  }

  #layerLoads(layer: number, mean: number): LayerLoads {
    const { numDomains, numExperts } = this.#facts;
    const loads = loadsBySourceDomain(this.#facts, layer);
    const scale = mean > 0 ? 1 / mean : 0;
    const bySource = new Float64Array(numDomains * (numExperts + 1));
    for (let domain = 0; domain < numDomains; domain += 1) {
      for (let expert = 0; expert < numExperts; expert += 1) {
        const load = loads[domain * numExperts + expert] ?? 0;
        bySource[domain * (numExperts + 1) + expert] = load * scale;
      }
    }
    const routes = this.#request.routes;
    const numBlocks = routes !== undefined && routes.numRoutes >= BLOCKS * 64 ? BLOCKS : 0;
    const pooled = new Float64Array((1 + numBlocks) * (numExperts + 1));
    for (let expert = 0; expert < numExperts; expert += 1) {
      pooled[expert] = (this.#facts.loads[layer * numExperts + expert] ?? 0) * scale;
    }
    if (numBlocks > 0 && routes !== undefined) this.#addBlocks(layer, routes, pooled);
    return { bySource, pooled, numBlocks, parts: partsOf(this.#facts.domainOfRank, numDomains) };
  }

  #addBlocks(layer: number, routes: RouteSample, pooled: Float64Array): void {
    const { numLayers, numExperts, capacities } = this.#facts;
    const stride = numExperts + 1;
    const capacity = capacities.reduce((sum, value) => sum + value, 0);
    for (let block = 0; block < BLOCKS; block += 1) {
      const firstRoute = Math.floor((block * routes.numRoutes) / BLOCKS);
      const lastRoute = Math.floor(((block + 1) * routes.numRoutes) / BLOCKS);
      const loads = pooled.subarray((1 + block) * stride, (2 + block) * stride);
      let sum = 0;
      for (let route = firstRoute; route < lastRoute; route += 1) {
        const first = (route * numLayers + layer) * routes.topK;
        for (let at = first; at < first + routes.topK; at += 1) {
          const expert = routes.experts[at] ?? -1;
          if (expert < 0) continue;
          loads[expert] = (loads[expert] ?? 0) + 1;
          sum += 1;
        }
      }
      for (let expert = 0; expert < numExperts; expert += 1) {
        loads[expert] = sum > 0 ? ((loads[expert] ?? 0) * capacity) / sum : 0;
      }
    }
  }

  /** What a send to a domain costs, beside the search's own choice, which costs nothing. */
  #costs(search: TrafficSearch): Float64Array {
    const { numDomains, numExperts } = this.#facts;
    const targets = search.targets();
    const costs = new Float64Array(numDomains * numExperts * numDomains);
    for (let source = 0; source < numDomains; source += 1) {
      for (let expert = 0; expert < numExperts; expert += 1) {
        const target = targets[source * numExperts + expert] ?? 0;
        const kept = search.marginalVisits(source, target, expert);
        for (let domain = 0; domain < numDomains; domain += 1) {
          if (domain === target) continue;
          const far = this.#domainCosts[source * numDomains + domain] ?? 0;
          const more = search.marginalVisits(source, domain, expert) - kept;
          // Never cheaper than the choice made: a split sends a token's experts apart.
          costs[(source * numExperts + expert) * numDomains + domain] =
            Math.max(0.01, more) + 0.01 * far;
        }
      }
    }
    return costs;
  }
}

/** Part of the ranks that each domain has, [domains]. */
function partsOf(domainOfRank: Int32Array, numDomains: number): Float64Array {
  const parts = new Float64Array(numDomains);
  for (const domain of domainOfRank) parts[domain] += 1 / domainOfRank.length;
  return parts;
}

/** Largest relative rank load of the request's mapping when replicas share evenly. */
function largestEvenLoad(facts: DispatchFacts, layer: number): number {
  const { mapping, capacities, rankOfSlot, numExperts, loads } = facts;
  const row = servingRow(facts, mapping.row(layer));
  const counts = new Int32Array(numExperts);
  for (const expert of row) if (expert >= 0) counts[expert] = (counts[expert] ?? 0) + 1;
  const rankLoads = new Float64Array(capacities.length);
  row.forEach((expert, slot) => {
    if (expert < 0) return;
    const rank = rankOfSlot[slot] ?? 0;
    const share = (loads[layer * numExperts + expert] ?? 0) / (counts[expert] ?? 1);
    rankLoads[rank] = (rankLoads[rank] ?? 0) + share / (capacities[rank] ?? 1);
  });
  return rankLoads.reduce((most, load) => Math.max(most, load), 0);
}

function searchCluster(request: LocalityRequest, facts: DispatchFacts): SearchCluster {
  const { mapping, topology, pinnedSlots } = request;
  const frozen = Uint8Array.from(facts.rankOfSlot, (rank) =>
    (facts.capacities[rank] ?? 0) > 0 ? 0 : 1,
  );
  for (const slot of pinnedSlots ?? []) frozen[slot] = 1;
  return {
    numRanks: mapping.numRanks,
    numDomains: facts.numDomains,
    numExperts: facts.numExperts,
    rankOfSlot: facts.rankOfSlot,
    domainOfRank: facts.domainOfRank,
    capacities: facts.capacities,
    frozen,
    failureDomains: new Set(topology.failureDomains).size > 1 ? topology.failureDomains : null,
  };
}

import type { ExpertMapping } from '@isobar/eplb';
import { type Dispatch, entryColumns, type ForwardHead } from './forward-frames.js';
import { hiddenSize } from './model-shape.js';
import type { ReplicaRouter } from './replica-router.js';

/** Where the result of each of a token's experts will be: rank and entry, by [token × topK]. */
export interface TokenRoutes {
  /** By rank; empty for ranks that this rank has no token for. */
  readonly dispatches: readonly Dispatch[];
  /** −1 where no replica can be reached. */
  readonly rankOf: Int32Array;
  readonly entryOf: Int32Array;
}

export interface RoutedLayer {
  readonly head: ForwardHead;
  readonly mapping: ExpertMapping;
  readonly topK: number;
  readonly numTokens: number;
  /** Hidden states of this rank's tokens, [tokens × hiddenSize]. */
  readonly states: Float64Array;
  /** A token's chosen experts, −1 where it has fewer than topK. */
  readonly expertsOf: (token: number) => Int16Array;
  /** Ranks that can't be reached. */
  readonly masked: ReadonlySet<number>;
}

/** Sends each token to one replica of each of its experts. */
export function routeTokens(layer: RoutedLayer, router: ReplicaRouter): TokenRoutes {
  const { mapping, topK, numTokens, head, masked } = layer;
  const rankOf = new Int32Array(numTokens * topK).fill(-1);
  const entryOf = new Int32Array(numTokens * topK);
  const entries = Array.from({ length: mapping.numRanks }, () => [] as number[]);
  const sent = Array.from({ length: mapping.numRanks }, () => [] as number[]);
  for (let token = 0; token < numTokens; token += 1) {
    layer.expertsOf(token).forEach((expert, k) => {
      if (expert < 0) return;
      const slot = router.choose(mapping, head.layer, expert, masked);
      const rank = slot < 0 ? -1 : mapping.rankOfSlot(slot);
      const columns = entries[rank];
      const tokensSent = sent[rank];
      if (columns === undefined || tokensSent === undefined) return;
      if (tokensSent.at(-1) !== token) tokensSent.push(token);
      rankOf[token * topK + k] = rank;
      entryOf[token * topK + k] = columns.length / entryColumns;
      columns.push(tokensSent.length - 1, slot, expert);
    });
  }
  const dispatches = entries.map((columns, rank) => dispatchOf(layer, columns, sent[rank] ?? []));
  return { dispatches, rankOf, entryOf };
}

/** A dispatch of a layer's entries, with the states of the tokens that they name. */
export function dispatchOf(
  { head, states }: Pick<RoutedLayer, 'head' | 'states'>,
  columns: readonly number[],
  tokens: readonly number[],
): Dispatch {
  const copied = new Float64Array(tokens.length * hiddenSize);
  tokens.forEach((token, at) => {
    copied.set(states.subarray(token * hiddenSize, (token + 1) * hiddenSize), at * hiddenSize);
  });
  return {
    ...head,
    kind: 'dispatch',
    numTokens: tokens.length,
    states: copied,
    numEntries: columns.length / entryColumns,
    entries: Uint32Array.from(columns),
  };
}

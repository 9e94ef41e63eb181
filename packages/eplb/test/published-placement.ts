/** DeepSeek's placement of one layer, written plainly: every choice looks at all candidates. */
export function publishedPlacement(
  loads: readonly number[],
  sizes: { slots: number; groups: number; nodes: number; ranks: number },
): number[] {
  const { slots, groups, nodes, ranks } = sizes;
  const groupSize = loads.length / groups;
  const groupLoads = Array.from({ length: groups }, (_, group) =>
    loads
      .slice(group * groupSize, (group + 1) * groupSize)
      .reduce((sum, load) => Math.fround(sum + Math.fround(load)), 0),
  );
  return packed(groupLoads, nodes).flatMap((nodeGroups) => {
    const experts = nodeGroups.flatMap((group) =>
      Array.from({ length: groupSize }, (_, index) => group * groupSize + index),
    );
    const { copies, shares } = replicated(
      experts.map((expert) => Math.fround(loads[expert] ?? 0)),
      slots / nodes,
    );
    return packed(shares, ranks / nodes).flatMap((pack) =>
      pack.map((copy) => experts[copies[copy] ?? 0] ?? -1),
    );
  });
}

function replicated(loads: readonly number[], slots: number) {
  const counts = loads.map(() => 1);
  const copies = loads.map((_, expert) => expert);
  const share = (expert: number) => Math.fround((loads[expert] ?? 0) / (counts[expert] ?? 1));
  while (copies.length < slots) {
    const shares = loads.map((_, expert) => share(expert));
    const expert = shares.indexOf(Math.max(...shares));
    copies.push(expert);
    counts[expert] = (counts[expert] ?? 0) + 1;
  }
  return { copies, shares: copies.map(share) };
}

/** Items of each pack, in the order in which they came. */
function packed(weights: readonly number[], numPacks: number): number[][] {
  const size = weights.length / numPacks;
  if (size === 1) return weights.map((_, item) => [item]);
  const packs = Array.from({ length: numPacks }, () => ({ items: [] as number[], weight: 0 }));
  const weightOf = (item: number) => weights[item] ?? 0;
  const order = weights.map((_, item) => item).sort((a, b) => weightOf(b) - weightOf(a) || a - b);
  for (const item of order) {
    const lightest = packs
      .filter(({ items }) => items.length < size)
      .reduce((best, pack) => (pack.weight < best.weight ? pack : best));
    lightest.items.push(item);
    lightest.weight = Math.fround(lightest.weight + weightOf(item));
  }
  return packs.map(({ items }) => items);
}

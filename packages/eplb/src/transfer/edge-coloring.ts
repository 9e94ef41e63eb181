/** An edge of a bipartite multigraph. */
export interface Edge {
  readonly left: number;
  readonly right: number;
}

/**
 * Colours the edges of a bipartite multigraph with as many colours as its largest degree, so
 * that no two edges of one colour meet (Kőnig's theorem, by alternating paths).
 * @returns the colour of each edge, [edges]
 */
export function colorEdges(edges: readonly Edge[], numVertices: number): Int32Array {
  const numColors = largestDegree(edges, numVertices);
  const colors = new Int32Array(edges.length).fill(-1);
  // Edge of each colour at each vertex, −1 for none; right vertices follow the left ones.
  const at = new Int32Array(2 * numVertices * numColors).fill(-1);
  const slotOf = (vertex: number, color: number) => vertex * numColors + color;
  const freeColor = (vertex: number) => {
    let color = 0;
    while (at[slotOf(vertex, color)] !== -1) color += 1;
    return color;
  };
  edges.forEach((edge, index) => {
    const right = numVertices + edge.right;
    const leftColor = freeColor(edge.left);
    const rightColor = freeColor(right);
    if (leftColor !== rightColor) flipPath(right, leftColor, rightColor);
    colors[index] = leftColor;
    at[slotOf(edge.left, leftColor)] = index;
    at[slotOf(right, leftColor)] = index;
  });
  return colors;

  /** Exchanges two colours along the path that begins at `start` with `first`. */
  function flipPath(start: number, first: number, second: number): void {
    const path: number[] = [];
    let vertex = start;
    let color = first;
    for (
      let edge = at[slotOf(vertex, color)] ?? -1;
      edge >= 0;
      edge = at[slotOf(vertex, color)] ?? -1
    ) {
      path.push(edge);
      vertex = otherEnd(edges[edge], vertex, numVertices);
      color = color === first ? second : first;
    }
    for (const edge of path) setEdge(edge, -1);
    for (const edge of path) {
      colors[edge] = colors[edge] === first ? second : first;
      setEdge(edge, edge);
    }
  }

  function setEdge(index: number, value: number): void {
    const edge = edges[index];
    const color = colors[index];
    if (edge === undefined || color === undefined) return;
    at[slotOf(edge.left, color)] = value;
    at[slotOf(numVertices + edge.right, color)] = value;
  }
}

function otherEnd(edge: Edge | undefined, vertex: number, numVertices: number): number {
  if (edge === undefined) throw new Error('alternating path left the graph');
  return vertex === edge.left ? numVertices + edge.right : edge.left;
}

function largestDegree(edges: readonly Edge[], numVertices: number): number {
  const left = new Int32Array(numVertices);
  const right = new Int32Array(numVertices);
  for (const edge of edges) {
    left[edge.left] = (left[edge.left] ?? 0) + 1;
    right[edge.right] = (right[edge.right] ?? 0) + 1;
  }
  return Math.max(0, ...left, ...right);
}

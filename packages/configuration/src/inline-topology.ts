import { parseTopology, type Topology, TopologyError } from '@isobar/topology';

/** Why a topology that stands in another file is none, and where in that file. */
export interface TopologyProblem {
  readonly line: number | null;
  readonly column: number | null;
  /** Within the topology. */
  readonly field: string;
  readonly what: string;
}

/**
 * Reads a topology that is written within a larger YAML text.
 * @param start offset of its first character, `end` of the one after its last
 */
export function readInlineTopology(
  text: string,
  source: string,
  start: number,
  end: number,
): Topology | TopologyProblem {
  // All else blank: its lines, columns and indents stay what they are.
  const blank = text.slice(0, start).replaceAll(/[^\r\n]/g, ' ');
  try {
    return parseTopology(blank + text.slice(start, end), source);
  } catch (error) {
    if (error instanceof TopologyError) return problemOf(error, source);
    throw error;
  }
}

function problemOf({ message, fields }: TopologyError, source: string): TopologyProblem {
  const line = typeof fields.line === 'number' ? fields.line : null;
  const column = typeof fields.column === 'number' ? fields.column : null;
  const field = typeof fields.field === 'string' ? fields.field : '';
  const place = line === null ? `${source}: ` : `${source}:${line}:${column}: `;
  const told = message.startsWith(place) ? message.slice(place.length) : message;
  const what = told.startsWith(`${field}: `) ? told.slice(field.length + 2) : told;
  return { line, column, field, what };
}

import { hostname } from 'node:os';
import { IsobarError } from '@isobar/protocol';
import type { Environment } from './environment-values.js';
import { textOfVariable } from './rank-source.js';

const variable = 'ISOBAR_PLACE';
const domainsMax = 8;

/** This machine's name: as it is told, else as Slurm has it, else its host name. */
export function nodeName(environment: Environment): string {
  const told =
    textOfVariable(environment, 'ISOBAR_NODE_NAME') ??
    textOfVariable(environment, 'SLURMD_NODENAME');
  return (told ?? hostname()).slice(0, 253);
}

/**
 * Domains by levels of the topology, as `ISOBAR_PLACE` has them: `zone=eu-1a,rack=r7`. One without a
 * name is not told: where a label is missing, the downward API leaves it empty.
 * @throws IsobarError ISOBAR_CONFIGURATION_PLACE
 */
export function namedDomains(environment: Environment): Record<string, string> {
  const text = textOfVariable(environment, variable);
  if (text === null) return {};
  const pairs = text.split(',').map((pair) => {
    const match = /^\s*([^=,\s]{1,128})\s*=\s*([^=,]{0,253}?)\s*$/.exec(pair);
    if (match === null) throw refuse(`has no LEVEL=NAME at ${JSON.stringify(pair.slice(0, 80))}`);
    return [match[1] ?? '', match[2] ?? ''] as const;
  });
  if (pairs.length > domainsMax) throw refuse(`names more than ${domainsMax} levels`);
  if (new Set(pairs.map(([level]) => level)).size < pairs.length) throw refuse('has a level twice');
  return Object.fromEntries(pairs.filter(([, name]) => name !== ''));
}

function refuse(what: string): IsobarError {
  return new IsobarError('ISOBAR_CONFIGURATION_PLACE', `${variable} ${what}`, { variable });
}

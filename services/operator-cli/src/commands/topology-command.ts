import type { StatusAnswer } from '@isobar/protocol';
import {
  formatTopology,
  readTopology,
  type Topology,
  topologyOfPlaces,
  uniformTopology,
} from '@isobar/topology';
import type { Command } from 'commander';
import { print, withClient } from './shared.js';

export function addTopology(program: Command): void {
  program
    .command('topology')
    .description('Prints the topology that ranks tell of, as a configuration takes it.')
    .option(
      '--like <file>',
      'topology whose levels, links and marks are taken (default: nodes, with the links of an HGX H100)',
    )
    .action(({ like }: { readonly like?: string }, command: Command) =>
      withClient(command, async (client, { json }) => {
        const levels = like === undefined ? undefined : await readTopology(like);
        const text = topologyTold(await client.ask('status', { places: true }), levels);
        print(json ? JSON.stringify({ topology: text }) : text.trimEnd());
      }),
    );
}

/** @throws TopologyError as topologyOfPlaces */
export function topologyTold(
  { ranks }: StatusAnswer,
  like: Topology = uniformTopology({ numRanks: 1, numNodes: 1 }),
): string {
  const places = ranks.map(({ place }) => place ?? null);
  return formatTopology(topologyOfPlaces(places, like));
}

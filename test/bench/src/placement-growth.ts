import { markdownTable } from './markdown-table.js';
import { generatedCase, type PlacementCase, planOf, policyNames } from './placement-case.js';
import { measure } from './placement-measure.js';

const columns = ['policy', 'layers', 'slots', 'ranks', 'processor time, ms', 'µs a slot and layer'];

/** Prints how plan time grows with layers and with slots. */
export function printPlacementGrowth(print: (text: string) => void): void {
  print('## Growth of plan time, from a current mapping');
  print('With layers, 256 experts. Linear growth leaves the last column as it is.');
  printCases(
    [14, 29, 58, 116].map((layers) => generatedCase(layers, 256, 288, 32, 4)),
    print,
  );
  print('With slots, of which experts are 8 in 9, and ranks with them, 9 slots a rank.');
  printCases(
    [72, 144, 288, 576].map((slots) => generatedCase(29, (slots * 8) / 9, slots, slots / 9, 4)),
    print,
  );
  print('With slots on as many ranks, 32.');
  printCases(
    [288, 576, 1_152].map((slots) => generatedCase(29, (slots * 8) / 9, slots, 32, 4)),
    print,
  );
}

function printCases(cases: readonly PlacementCase[], print: (text: string) => void): void {
  const rows = policyNames().flatMap((policy) =>
    cases.map((placement) => {
      const { numLayers, numPhysicalExperts, numRanks } = placement;
      const { cpuMillis } = measure(planOf(policy, 'current', placement), placement);
      const micros = (1_000 * cpuMillis) / (numLayers * numPhysicalExperts);
      const sizes = [numLayers, numPhysicalExperts, numRanks].map(String);
      return [policy, ...sizes, cpuMillis.toFixed(2), micros.toFixed(3)];
    }),
  );
  print(markdownTable(columns, rows, 1));
}

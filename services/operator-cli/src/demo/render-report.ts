import { bytes, optional } from '../table.js';
import { type DemoReport, isClean } from './demo-report.js';

/** The summary that a person reads at the end of a demo. */
export function renderReport(report: DemoReport): string {
  const { stepMillis, stepMillisDuringSwap, blockedMillis } = report;
  const wrong = report.tokensLost + report.tokensMisrouted + report.tokensChanged;
  const during =
    stepMillisDuringSwap === null
      ? ''
      : `; during swaps ${stepMillisDuringSwap.p50.toFixed(1)} and ${stepMillisDuringSwap.p99.toFixed(1)}`;
  return [
    '',
    `  served        ${report.steps} steps, ${report.tokens} tokens, on ${report.ranks} ranks of ${report.nodes} nodes (${report.activation})`,
    `  balancedness  ${optional(report.balancednessBefore, 3)} before, ${optional(report.balancednessAfter, 3)} after (1 is perfect: every rank equally busy)`,
    `  rebalances    ${report.rebalances}, in ${report.swapsCommitted} swaps committed and ${report.swapsVoided} void`,
    `  moved         ${report.movedExperts} experts, ${bytes(report.movedBytes)}`,
    `  step          ${stepMillis.p50.toFixed(1)} ms at the median, ${stepMillis.p99.toFixed(1)} at the 99th percentile${during}`,
    blockedMillis === null
      ? ''
      : `  blocked       an engine by one swap ${blockedMillis.p50.toFixed(2)} ms at the median, ${blockedMillis.max.toFixed(2)} at most`,
    `  tokens        ${report.tokensLost} lost, ${report.tokensMisrouted} misrouted, ${report.tokensChanged} changed, against a single-process oracle`,
    `  version       ${report.mappingVersion} on ${isOneVersion(report) ? 'every rank' : report.mappingVersionByRank.join(', ')}`,
    '',
    '  Step times are modelled: compute is real but small, and each layer takes at least a stated',
    '  time per token of its busiest rank, as on GPUs.',
    '',
    isClean(report)
      ? '  Every token came out as it would have on one machine.'
      : `  FAILED: ${wrong} results are wrong or the ranks ended on different versions.`,
    '',
  ]
    .filter((line, index, lines) => line !== '' || lines[index - 1] !== '')
    .join('\n');
}

function isOneVersion(report: DemoReport): boolean {
  return new Set(report.mappingVersionByRank).size === 1;
}

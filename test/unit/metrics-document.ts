import { coordinatorMetricTable } from '@isobar/coordinator';
import { agentMetricTable } from '@isobar/rank-agent';
import type { Metric } from '@isobar/telemetry';

const introduction = `# Metrics

What processes tell Prometheus at \`/metrics\` ([DEPLOY.md](DEPLOY.md)), beside what Node.js tells of itself
(\`process_*\`, \`nodejs_*\`). Every series has the label \`deployment\`, of a coordinator \`holder\`, of an agent \`rank\`.
Counters begin anew with the process, and those of swaps with each leadership.
`;

type Described = Pick<Metric<never>, 'name' | 'kind' | 'labels' | 'help'>;

/** docs/METRICS.md as it is to be. */
export function metricsDocument(): string {
  return [
    introduction,
    section('Coordinator', coordinatorMetricTable),
    section('Agent', agentMetricTable),
  ].join('\n');
}

function section(title: string, metrics: readonly Described[]): string {
  const rows = metrics.map(
    ({ name, kind, labels = [], help }) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  const head = '| metric | kind | labels | tells |\n| --- | --- | --- | --- |';
  return `## ${title}\n\n${head}\n${rows.join('\n')}\n`;
}

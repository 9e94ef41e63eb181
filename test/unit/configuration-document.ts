import {
  type AtRunTime,
  type NamedOption,
  optionGroups,
  options,
  type RankSource,
  rankSources,
} from '@isobar/configuration';

/*
 * docs/CONFIGURATION.md as it is to be: what options there are and what they mean is in the table of
 * packages/configuration; this puts it on paper.
 */

/** A whole file, which a test reads. */
export const example = `deployment: prod
topology:
  ranks: 32
  nodes: 4
nats:
  servers: [nats://nats-1:4222, nats://nats-2:4222, nats://nats-3:4222]
  context: auth/{process}/context.json
  operatorsAccount: isobar.prod.operators
coordinator:
  replicas: 3
  mode: approve
  planIntervalMs: 30s
  bandwidthBytesPerSecond: 400 Gb/s
agent:
  engine: unix:/run/isobar/engine-{localRank}.sock
  stateDirectory: /var/lib/isobar
log:
  level: info
`;

const introduction = `# Configuration

One YAML file says all of a deployment: every coordinator and every agent reads it.

\`\`\`sh
isobar config check /etc/isobar/isobar.yaml   # everything that is wrong with it, by line and option
isobar config show /etc/isobar/isobar.yaml    # every option as it would hold, and where it comes from
isobar coordinator --config /etc/isobar/isobar.yaml
isobar agent --config /etc/isobar/isobar.yaml --rank 3
isobar doctor --local --config /etc/isobar/isobar.yaml   # what an agent would find out here
\`\`\`

\`\`\`yaml
EXAMPLE\`\`\`

\`deployment\`, \`topology\` and \`nats.servers\` must be given, all else has a default. Names that are not listed here
are refused, with the nearest one that is. Relative paths are taken from the file's folder. Secrets have no place in it: \`nats.context\`
names the file that names them.

**Units.** A name ends in its unit, and a number is in that unit: \`leaseMs: 15000\`. A text has a unit of its
own, and means the same: \`leaseMs: 15s\`. Durations take \`ms\`, \`s\`, \`m\`, \`h\`; bandwidths \`GB/s\`, \`GiB/s\`, \`Gb/s\` and
so on; \`perTokenSeconds\` \`us\` and the like.

**Who says.** Of an option a command's value goes before the environment's, that before the file's, that
before the default. \`isobar parameters\` tells what holds at the leader, and which of them says so.

**The environment.** Each option has a variable, as the tables say. Numbers, durations and texts are written as in
the file, lists with commas between. Any other variable that begins with \`ISOBAR_\` is refused, but for those
of ranks and places, below, and those of the project's tests. What differs between processes is best said so:
\`ISOBAR_COORDINATOR_HOLDER\`.

**At run time.** The tables say how an option changes:

| changes by | how |
| --- | --- |
| command | \`isobar set coordinator.planIntervalMs=20s\`, or the command \`set-parameters\`: checked as a whole, in force at once, kept in the record \`control\` for every leader to come; \`isobar set coordinator.planIntervalMs=\` has the file say again. By SIGHUP too |
| SIGHUP | change the file and send SIGHUP to the process: what can change holds at once, each option that can't is told in a line of the log, and of a file with anything wrong nothing holds |
| restart | the process must start again |

A file that does not go with what commands have set is refused at SIGHUP. Where a leader starts with one, or a
recorded value is none that it knows, it raises the alarm \`parameters-unusable\` and does without
that value; \`isobar parameters\` names it.
`;

const ranks = `## Which rank an agent is

The first of these that says so. Those that were said to this very process, \`--rank\` and \`ISOBAR_RANK\`, hold
whatever the others say, and what contradicts them is a warning in the log and in \`isobar doctor\`. Of the others
all that speak must agree, with each other and, in the number of ranks, the machine and the place on it, with
the topology: else the agent ends with ISOBAR_CONFIGURATION_RANK_CONTRADICTED, which names both sides. So under
\`srun torchrun\`, where Slurm counts machines and torchrun ranks, say \`--rank $RANK\`. A variable that is empty is
not set.

| | source | read from | who says it |
| --- | --- | --- | --- |
| 1 | \`--rank\` | the command line | whoever starts the agent |
SOURCES

One agent serves one rank.

## Where a rank runs

Agents tell it in their reports. Nothing is decided by it: the leader compares it with the topology, by who is together with
whom and not by names, and raises the alarm \`topology-contradicted\` where they differ.

| of the place | read from |
| --- | --- |
| machine | \`ISOBAR_NODE_NAME\`, else \`SLURMD_NODENAME\`, else the host name. In a container the host name is the container's: set the variable |
| place among the ranks of the machine or pod | as its source says, else \`ISOBAR_LOCAL_RANK\` |
| domains | \`ISOBAR_PLACE\`: \`rack=r7,zone=eu-1a\`, by the names of the topology's levels; one without a name is not told |
| GPU | \`nvidia-smi\`, where it is on the PATH: the only one of \`CUDA_VISIBLE_DEVICES\` (else of all), or the one at the rank's place among them |
| NVLink domain | likewise: cluster and clique of a multi-node NVLink, else what \`nvidia-smi topo -m\` joins within the machine. It is compared with the fast domain |
`;

const titles: Readonly<Record<string, string>> = {
  '': 'The deployment',
  nats: 'nats: how processes reach NATS, and as whom',
  coordinator: 'coordinator: balancing, swaps and leadership',
  agent: 'agent: the processes beside the engines',
  http: 'http: probes and metrics',
  log: 'log',
};

const changes: Readonly<Record<AtRunTime, string>> = {
  command: 'command',
  file: 'SIGHUP',
  restart: 'restart',
};

export function configurationDocument(): string {
  const sections = ['', ...optionGroups].map((group) => {
    const own = options.filter((option) => option.group === group);
    const head = '| option | variable | default | bounds | changes by | meaning |';
    return `## ${titles[group]}\n\n${head}\n${'| --- '.repeat(6)}|\n${own.map(row).join('\n')}`;
  });
  const sources = rankSources.map(sourceRow).join('\n');
  const parts = [introduction.replace('EXAMPLE', example), ranks.replace('SOURCES', sources)];
  return `${[...parts.map((part) => part.trimEnd()), ...sections].join('\n\n')}\n`;
}

/** After the command line, which is the first. */
function sourceRow({ name, variables, of }: RankSource, index: number): string {
  const read = variables.map((variable) => `\`${variable}\``).join(', ');
  return `| ${index + 2} | \`${name}\` | ${read} | ${of} |`;
}

function row({ name, variable, unit, bounds, atRunTime, meaning, ...option }: NamedOption): string {
  const byDefault = defaultOf(option.default, unit);
  const cells = [`\`${name}\``, `\`${variable}\``, byDefault, bounds ?? '', changes[atRunTime]];
  return `| ${[...cells, meaning].join(' | ')} |`;
}

function defaultOf(value: unknown, unit: string | null): string {
  if (value === undefined) return 'must be given';
  if (value === null) return 'none';
  const text =
    typeof value === 'number'
      ? value.toLocaleString('en', { maximumFractionDigits: 6 })
      : String(value);
  return unit === null ? `\`${text}\`` : `${text} ${unit}`;
}

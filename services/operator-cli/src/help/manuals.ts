import { configurationManuals } from './configuration-manuals.js';
import type { Manual } from './manual.js';
import { memberManuals } from './member-manuals.js';
import { serviceManuals } from './service-manuals.js';
import { steeringManuals } from './steering-manuals.js';

const file = 'docs/COMMANDS.md';

const watchingManuals: Readonly<Record<string, Manual>> = {
  status: {
    details: [
      'A rank whose state is not "up", or that reported long ago, is what to look at first.',
    ],
    examples: [
      { line: 'isobar status', does: 'the default deployment, at the server of NATS_URL' },
      { line: 'isobar -d prod -c alice status --json', does: 'as a script reads it' },
    ],
    seeAlso: ['top', 'doctor', 'history', file],
  },
  top: {
    details: [
      'Keys: q quits, p pauses or resumes and asks first, s sorts by rank or load, n shows nodes or ranks, arrows scroll, ? explains.',
      'More ranks than fit are shown by node. The screen is given back when it ends, however it ends.',
    ],
    examples: [
      { line: 'isobar top', does: 'once a second' },
      { line: 'isobar top --interval 5s', does: 'over a slow line' },
      { line: 'isobar top --once --no-color > frame.txt', does: 'one frame, for a report' },
    ],
    seeAlso: ['status', 'history'],
    exitCodes: { 130: 'ended by Ctrl-C or a signal; q ends it with 0' },
  },
  doctor: {
    details: [
      'Looks at the NATS server and its limits, clocks, permissions, who leads, ranks, engines, records, events and alarms. Nothing is changed: whether one may command is found out by a dry run, which the audit trail records.',
      'With --local it looks at this machine alone, in the environment that it is started in: which rank an agent would take and who says so, the machine, its GPUs and NVLink, and what contradicts what. In a container or a unit run it as the agent is run.',
      'What can not be looked at is said to be skipped: the credentials of operators and viewers may not ask for limits of the account.',
    ],
    examples: [
      { line: 'isobar doctor', does: 'what is wrong, and what to do about it' },
      {
        line: 'isobar doctor --ranks',
        does: 'of each rank where it runs, and who says which it is',
      },
      {
        line: 'isobar doctor --local --config /etc/isobar/isobar.yaml',
        does: 'what an agent would find out here',
      },
      { line: 'isobar doctor --json', does: 'for a monitor: checks, each with verdict and advice' },
    ],
    seeAlso: ['status', 'history', 'docs/errors.md'],
    exitCodes: { 0: 'no check failed; some may warn', 1: 'a check failed' },
  },
  topology: {
    details: [
      'Every rank must be heard, and its agent tell where it runs. Domains beyond the machine are those of ISOBAR_PLACE, or for the fast domain of NVLink. Rails are not told. Look at it before you put it into the configuration.',
    ],
    examples: [
      { line: 'isobar topology > topology.yaml', does: 'machines as fast and failure domains' },
      {
        line: 'isobar topology --like racks.yaml',
        does: 'with the levels, links and marks of another file',
      },
    ],
    seeAlso: ['doctor', 'config check', 'packages/topology/README.md'],
  },
  explain: {
    examples: [{ line: 'isobar explain 17 --json', does: 'the full story of a version' }],
    seeAlso: ['history', 'export'],
  },
  export: {
    examples: [
      { line: 'isobar export > mapping.json', does: 'the mapping in force, for isobar import' },
      {
        line: 'isobar export 3 --format sglang > expert-location.json',
        does: "of version 3, for SGLang's --init-expert-location",
      },
    ],
    seeAlso: ['import', 'rollback'],
  },
  history: {
    details: ['With --json every event is a line of JSON.'],
    examples: [
      { line: 'isobar history --last 20', does: 'what happened of late' },
      { line: 'isobar history --of 17 --json', does: 'all that is told of one version' },
      { line: 'isobar history --follow', does: 'events as they come' },
    ],
    seeAlso: ['explain', 'status'],
  },
  plan: {
    details: [
      'Of a plan from files, the JSON has physical_to_logical_map [layers][slots], replica_count [layers][experts], slot_offsets [ranks + 1] and report. Without --out or --json a summary is printed.',
    ],
    examples: [
      { line: 'isobar plan', does: 'what a rebalance would do now, and whether it pays' },
      {
        line: 'isobar plan --loads loads.json --ranks 32 --nodes 4 --slots 288 --out plan.json',
        does: 'a placement from files; no server is asked',
      },
    ],
    seeAlso: ['rebalance', 'replay', 'packages/trace/README.md'],
  },
};

const localManuals: Readonly<Record<string, Manual>> = {
  replay: {
    examples: [
      {
        line: 'isobar replay --trace loads.jsonl.gz --ranks 16 --nodes 4 --slots 80 --maps maps.jsonl',
        does: 'every window planned from those before it',
      },
    ],
    seeAlso: ['plan', 'packages/trace/README.md'],
  },
  demo: {
    details: [
      'Starts a private nats-server, a coordinator, and per rank an agent and a reference engine. At the end every token is compared with a single-process oracle.',
    ],
    examples: [
      {
        line: 'isobar demo --ranks 8 --nodes 2 --slots 80 --duration 30s --seed 1 --json',
        does: 'half a minute; the report as JSON',
      },
    ],
    seeAlso: ['top'],
    exitCodes: {
      0: 'no token was lost, misrouted or changed, and all ranks ended on one version',
      1: 'otherwise',
    },
  },
  'auth init': {
    details: [
      'Files are readable by their owner alone, and nothing that is there is overwritten. Without --host the servers are localhost and 127.0.0.1. docs/SECURITY.md tells what each role may do, and what is not protected.',
    ],
    examples: [
      {
        line: 'isobar -d prod auth init ./prod-auth --kind nkey --ranks 32 --coordinators 2 --operator alice --viewer grafana --host nats-1.internal --host nats-2.internal',
        does: 'keys for everybody, and the configuration of two NATS servers',
      },
      {
        line: 'isobar -d prod auth init ./prod-auth --ranks 32 --host nats-1 --host nats-2 --host nats-3 --route nats-1 --route nats-2 --route nats-3',
        does: 'for three servers that are one cluster',
      },
    ],
    seeAlso: ['doctor', 'docs/SECURITY.md'],
  },
  'auth secrets': {
    details: [
      'What it prints is secret: pipe it, and keep it in no file. Identities of operators and viewers are not among it.',
      'Agents from rank 256 on are in further Secrets, isobar-agents-1 and so on. Apply with --server-side: without it kubectl writes each Secret into an annotation of itself as well, which may have 256 KiB and is seen where values are not.',
    ],
    examples: [
      {
        line: 'isobar auth secrets ./prod-auth | kubectl --namespace isobar apply --server-side -f -',
        does: 'Secrets isobar-agents, isobar-coordinators and isobar-nats',
      },
    ],
    seeAlso: ['auth init', 'deploy/kubernetes/README.md'],
  },
  completion: {
    examples: [
      { line: 'eval "$(isobar completion bash)"', does: 'in ~/.bashrc' },
      { line: 'isobar completion zsh > ~/.zfunc/_isobar', does: 'into a folder of $fpath' },
      { line: 'isobar completion fish > ~/.config/fish/completions/isobar.fish', does: 'for fish' },
    ],
    seeAlso: [],
  },
};

/** By the path of the command. */
export const manuals: Readonly<Record<string, Manual>> = {
  ...watchingManuals,
  ...steeringManuals,
  ...memberManuals,
  ...configurationManuals,
  ...localManuals,
  ...serviceManuals,
};

import { type CommandInput, type CommandName, commands } from '@isobar/protocol';
import type { CommandTransport } from './command-transport.js';
import { type IsobarRun, runIsobarOn } from './run-isobar.js';

const usageCode = 2;
const malformed = 'ISOBAR_COORDINATOR_COMMAND_MALFORMED';

/** One place names each command's words: a new command without them does not compile. */
const wordsOf: {
  readonly [Name in CommandName]: (question: CommandInput<Name>) => readonly string[];
} = {
  status: () => ['status'],
  plan: () => ['plan'],
  export: ({ version }) => ['export', ...optional(version)],
  history: ({ last = 50, of }) => [
    ...['history', '--last', `${last}`],
    ...(of === undefined ? [] : ['--of', `${of}`]),
  ],
  explain: ({ version }) => ['explain', `${version}`],
  parameters: () => ['parameters'],
  mode: ({ mode }) => ['mode', mode],
  approve: ({ plan }) => ['approve', ...optional(plan)],
  refuse: ({ plan }) => ['refuse', ...optional(plan)],
  rebalance: ({ layers }) => ['rebalance', ...(layers ? ['--layers', layers.join(',')] : [])],
  pause: () => ['pause'],
  resume: () => ['resume'],
  cancel: ({ reason }) => ['cancel', ...(reason === undefined ? [] : ['--reason', reason])],
  rollback: ({ version }) => ['rollback', `${version}`],
  import: () => ['import', '-'],
  drain: ({ rank, node }) => ['drain', ...optional(rank), ...(node ? ['--node', node] : [])],
  undrain: ({ rank, node }) => ['undrain', ...optional(rank), ...(node ? ['--node', node] : [])],
  leave: ({ rank }) => ['leave', `${rank}`],
  offer: ({ rank, slots }) => ['offer', '--rank', `${rank}`, '--slots', `${slots ?? 'all'}`],
  'declare-dead': ({ rank, incarnation }) => ['declare-dead', `${rank}`, incarnation],
  'set-parameters': ({ parameters }) => [
    'set',
    ...Object.entries(parameters).map(([name, value]) => `${name}=${value ?? ''}`),
  ],
};

function optional(value: string | number | undefined): string[] {
  return value === undefined ? [] : [`${value}`];
}

/** What all questions that change something have in common. */
interface ChangeQuestion {
  readonly dryRun?: boolean;
  readonly requestId?: string;
  readonly waitMs?: number;
  readonly mapping?: object;
}

/** `isobar` as a process: the very questions that other clients ask, in its words. */
export class IsobarTransport implements CommandTransport {
  readonly #url: string;
  /** Of what the service tells of itself `isobar` shows nothing. */
  readonly #connection: CommandTransport;

  constructor(url: string, connection: CommandTransport) {
    this.#url = url;
    this.#connection = connection;
  }

  encode(question: object): Uint8Array {
    return this.#connection.encode(question);
  }

  information(service: string): Promise<unknown> {
    return this.#connection.information(service);
  }

  async request(subject: string, body: Uint8Array): Promise<unknown> {
    const name = subject.slice(subject.lastIndexOf('.') + 1) as CommandName;
    const question: ChangeQuestion = JSON.parse(new TextDecoder().decode(body));
    const words = [...wordsFor(name, question), ...changeWords(name, question)];
    const input = question.mapping === undefined ? '' : JSON.stringify(question.mapping);
    const run = await runIsobarOn(input, '--server', this.#url, '-d', 'demo', '--json', ...words);
    return name === 'history' ? eventsOf(run) : answerOf(run, question);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

function wordsFor<Name extends CommandName>(name: Name, question: object): readonly string[] {
  return wordsOf[name](question as CommandInput<Name>);
}

function changeWords(
  name: CommandName,
  { dryRun, requestId, waitMs = 2_000 }: ChangeQuestion,
): readonly string[] {
  if (commands[name].access === 'read') return [];
  const waiting = waitMs === 0 ? ['--no-wait'] : ['--wait', `${waitMs}ms`];
  return [
    ...(dryRun === true ? ['--dry-run'] : ['--yes', ...waiting]),
    ...(requestId === undefined ? [] : ['--request-id', requestId]),
  ];
}

/** The answer, or the code of its refusal: also of one that its own preview was told. */
function answerOf({ code, stdout, stderr }: IsobarRun, { dryRun }: ChangeQuestion): unknown {
  if (code === usageCode) return malformed;
  const told = /^isobar: (ISOBAR_[A-Z_]+): /m.exec(stderr)?.[1];
  if (told !== undefined) return told;
  if (stdout === '') throw new Error(`isobar ended with ${code} and says nothing: ${stderr}`);
  const answer: { readonly outcome?: unknown; readonly code?: unknown } = JSON.parse(stdout);
  return answer.outcome === 'would-be-refused' && dryRun !== true ? answer.code : answer;
}

/** It reads the stream itself, and prints an event a line. */
function eventsOf({ stdout }: IsobarRun): object {
  const lines = stdout.split('\n').filter((line) => line !== '');
  const events = lines.map((line): unknown => JSON.parse(line));
  return { events, searched: events.length, isComplete: true };
}

import { softwareVersion } from '@isobar/protocol';
import { Command, Option } from 'commander';
import { addAuth } from './auth/auth-command.js';
import { addConfiguring } from './commands/configuring.js';
import { type HistoryOptions, readHistory, renderEvent } from './commands/history-command.js';
import { addParameters } from './commands/parameters.js';
import { renderPlan } from './commands/render-status.js';
import { type GlobalOptions, print, withClient, wrongOptions } from './commands/shared.js';
import { addMembers, addSteering } from './commands/steering.js';
import { addTopology } from './commands/topology-command.js';
import { addWatching } from './commands/watching.js';
import { addCompletion } from './completion/completion-command.js';
import { addConnectionOptions } from './connection.js';
import { addDoctor } from './doctor/doctor-command.js';
import { printable } from './drawing/fit.js';
import { parseDuration } from './duration.js';
import { formatHelp } from './help/format-help.js';
import { count, durationOption } from './option-values.js';
import { type PlanCommandOptions, plan } from './plan/plan-command.js';
import { renderPlanDocument } from './plan/plan-document.js';
import { type ReplayCommandOptions, renderReplay, replay } from './replay/replay-command.js';
import { addServices } from './services/service-commands.js';
import { coloured, hasColours } from './terminal/paint.js';
import { addTop } from './top/top-command.js';
import { writeFileAtomically } from './write-file-atomically.js';

/** Adds commands that belong together. */
export type CommandGroup = (program: Command) => void;

/**
 * The command line. Commands set `process.exitCode`; what they throw is told by whoever runs it.
 * @param more groups of commands that not every installation has
 */
export function createProgram(more: readonly CommandGroup[] = []): Command {
  const program = new Command('isobar')
    .configureHelp({ formatHelp, styleTitle: (title) => coloured('bold', title) })
    .configureOutput({ getOutHasColors: () => hasColours(process.stdout, isColourAsked()) })
    .description('Watches and steers expert load balancing of a deployment, over NATS.')
    .version(softwareVersion, '-V, --version', 'print the version')
    .addOption(
      new Option('-d, --deployment <name>', 'deployment')
        .env('ISOBAR_DEPLOYMENT')
        .default('default'),
    )
    .addOption(durationOption('--timeout <duration>', 'wait for an answer for so long', '5s'))
    .option('--json', 'print JSON', false)
    .option('--no-color', 'no colours, also where a terminal is (or NO_COLOR)')
    .showHelpAfterError('(isobar --help tells more)')
    .exitOverride();
  addConnectionOptions(program);
  addWatching(program);
  addTop(program);
  addDoctor(program);
  addTopology(program);
  addHistory(program);
  addPlan(program);
  addSteering(program);
  addMembers(program);
  addParameters(program);
  addConfiguring(program);
  addReplay(program);
  addAuth(program);
  addServices(program);
  for (const add of more) add(program);
  addCompletion(program);
  return program;
}

/** Help is printed before options are read. */
function isColourAsked(): boolean {
  return !process.argv.includes('--no-color');
}

function addHistory(program: Command): void {
  program
    .command('history')
    .description('Every decision, command, swap and failure of the deployment, the newest last.')
    .option('--last <number>', 'only so many', count(1, 1_000_000), 50)
    .option('--of <version>', 'all that is told of one version', count(0, 2 ** 53 - 1))
    .option('-f, --follow', 'go on with events as they come, until Ctrl-C', false)
    .action((_, command: Command) => history(command));
}

function history(command: Command): Promise<void> {
  return withClient(command, async (client, { json, deployment }) => {
    const {
      of: version,
      last,
      follow,
    } = command.opts<Pick<HistoryOptions, 'last' | 'follow'> & { readonly of?: number }>();
    const enough = new AbortController();
    const interrupt = () => enough.abort();
    process.once('SIGINT', interrupt);
    const ofVersion = version === undefined ? {} : { version };
    const options = { deployment, last, follow, ...ofVersion };
    for await (const event of readHistory(client, options, enough.signal)) {
      print(json ? JSON.stringify(event) : renderEvent(printable(event)));
    }
    process.off('SIGINT', interrupt);
  });
}

function addPlan(program: Command): void {
  program
    .command('plan')
    .description(
      'What would be done now, and whether it pays: asks the coordinator, and changes nothing. ' +
        'With --loads it plans from files instead, and needs no deployment.',
    )
    .option('--loads <file>', 'loads by layer and expert: JSON, CSV, or a load or token trace')
    .option('--ranks <number>', 'ranks', count(1, 4_096))
    .option('--slots <number>', 'physical slots of a layer, over all ranks', count(1, 65_536))
    .option(
      '--nodes <number>',
      'nodes that the ranks are spread over (default: 1, or the fast domains of --topology)',
      count(1, 4_096),
    )
    .option('--groups <number>', 'expert groups of a group-limited router', count(1, 65_536), 1)
    .addOption(
      new Option('--policy <policy>', 'placement policy')
        .choices(['default', 'locality-aware'])
        .default('locality-aware'),
    )
    .option('--current <file>', 'mapping to start from: isobar export, isobar plan, or SGLang')
    .option('--topology <file>', 'the cluster, in YAML')
    .option('--seed <number>', 'seed of the search', count(0, 2 ** 31 - 1))
    .option(
      '--budget <number>',
      'candidate changes that the search weighs at most',
      count(1, Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--deadline <duration>',
      'ends the search; the plan then depends on time',
      parseDuration,
    )
    .option('--out <file>', 'writes the plan as JSON; - is standard output')
    .action((_, command: Command) =>
      command.getOptionValue('loads') === undefined ? planLive(command) : planOffline(command),
    );
}

function planLive(command: Command): Promise<void> {
  for (const option of command.options) {
    if (command.getOptionValueSource(option.attributeName()) === 'cli') {
      wrongOptions(command, `'${option.flags}' needs '--loads <file>'`);
    }
  }
  return withClient(command, async (client, { json }) => {
    const plan = await client.ask('plan', {});
    print(json ? JSON.stringify(plan) : renderPlan(printable(plan)));
  });
}

async function planOffline(command: Command): Promise<void> {
  const { ranks, slots, deadline, out, json, ...given } = command.optsWithGlobals<
    Omit<PlanCommandOptions, 'ranks' | 'slots' | 'deadlineMs'> &
      GlobalOptions & {
        readonly ranks?: number;
        readonly slots?: number;
        readonly deadline?: number;
        readonly out?: string;
      }
  >();
  if (ranks === undefined) return wrongOptions(command, "'--loads' needs '--ranks <number>'");
  if (slots === undefined) return wrongOptions(command, "'--loads' needs '--slots <number>'");
  if (given.nodes !== undefined && given.nodes > ranks) {
    return wrongOptions(command, `${ranks} ranks can't be spread over ${given.nodes} nodes`);
  }
  const deadlineMs = deadline === undefined ? {} : { deadlineMs: deadline };
  const document = await plan({ ...given, ranks, slots, ...deadlineMs });
  const text = JSON.stringify(document);
  if (out !== undefined && out !== '-') await writeFileAtomically(out, `${text}\n`);
  print(json || out === '-' ? text : renderPlanDocument(document));
}

function addReplay(program: Command): void {
  program
    .command('replay')
    .description('Plays a trace window by window, each planned from the windows before it alone.')
    .requiredOption('--trace <file>', 'load or token trace')
    .requiredOption('--ranks <number>', 'ranks', count(1, 4_096))
    .requiredOption(
      '--slots <number>',
      'physical slots of a layer, over all ranks',
      count(1, 65_536),
    )
    .option('--nodes <number>', 'nodes that the ranks are spread over', count(1, 4_096), 1)
    .option('--window <steps>', 'trace steps of a window', count(1, 1_000_000), 8)
    .addOption(
      new Option('--policy <policy>', 'placement policy')
        .choices(['default', 'locality-aware'])
        .default('locality-aware'),
    )
    .option('--maps <file>', 'writes the mapping in force, one JSON line a window')
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<ReplayCommandOptions & GlobalOptions>();
      const summary = await replay(options);
      print(options.json ? JSON.stringify(summary) : renderReplay(summary));
    });
}

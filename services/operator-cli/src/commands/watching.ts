import type { ExplainAnswer } from '@isobar/protocol';
import { toSglangExpertLocation } from '@isobar/trace';
import { type Command, Option } from 'commander';
import type { CoordinatorClient } from '../coordinator-client.js';
import { printable } from '../drawing/fit.js';
import { count } from '../option-values.js';
import { bytes } from '../table.js';
import { renderEvent } from './history-command.js';
import { renderStatus } from './render-status.js';
import { print, withClient } from './shared.js';

const versionMax = Number.MAX_SAFE_INTEGER;

/** Commands that tell of the deployment, and change nothing. */
export function addWatching(program: Command): void {
  program
    .command('status')
    .description('What the deployment does now: mapping, load, ranks, swap, rebalances.')
    .action((_, command: Command) =>
      withClient(command, async (client, { json }) => {
        const status = await client.ask('status', {});
        print(json ? JSON.stringify(status) : renderStatus(printable(status)));
      }),
    );
  program
    .command('explain')
    .argument('<version>', 'version of the mapping', count(0, versionMax))
    .description('Why a version is as it is: who asked, loads, forecast, gain, bytes, durations.')
    .action((version: number, _, command: Command) =>
      withClient(command, async (client, { json }) => {
        const answer = await explainWhole(client, version);
        print(json ? JSON.stringify(answer) : renderExplanation(printable(answer)));
      }),
    );
  addExport(program);
}

function addExport(program: Command): void {
  program
    .command('export')
    .argument('[version]', 'version; the one in force where absent', count(0, versionMax))
    .description("Prints a mapping whole: Isobar's own JSON, or SGLang's --init-expert-location.")
    .addOption(
      new Option('--format <format>', 'file format')
        .choices(['isobar', 'sglang'])
        .default('isobar'),
    )
    .action((version: number | undefined, _, command: Command) =>
      withClient(command, async (client) => {
        const { format } = command.opts<{ format: 'isobar' | 'sglang' }>();
        const mapping = await client.ask('export', version === undefined ? {} : { version });
        if (format === 'isobar') {
          print(JSON.stringify(mapping));
          return;
        }
        const { physicalToLogical } = mapping;
        print(
          toSglangExpertLocation({
            numLayers: physicalToLogical.length,
            numSlots: physicalToLogical[0]?.length ?? 0,
            physicalToLogical: physicalToLogical.flat(),
          }),
        );
      }),
    );
}

/** Questions for one version: each looks through as many events as a coordinator does at once. */
const pagesMax = 64;

/**
 * A version's story. Its events lie close together: what is older than a page without any is not looked at,
 * and its `next` is null where all were.
 */
export async function explainWhole(
  client: Pick<CoordinatorClient, 'ask'>,
  version: number,
): Promise<ExplainAnswer> {
  let whole = await client.ask('explain', { version });
  for (let page = 1; page < pagesMax && whole.next != null; page += 1) {
    const older = await client.ask('explain', { version, before: whole.next });
    whole = {
      ...whole,
      askedBy: whole.askedBy ?? older.askedBy,
      plan: whole.plan ?? older.plan,
      measured: whole.measured ?? older.measured,
      durations: whole.durations ?? older.durations,
      votes: whole.votes ?? older.votes,
      events: [...older.events, ...whole.events],
      searched: (whole.searched ?? 0) + (older.searched ?? 0),
      next: older.next,
    };
    if (older.events.length === 0 && whole.events.length > 0) break;
  }
  return whole;
}

/** A version's story for a person. */
export function renderExplanation(answer: ExplainAnswer): string {
  const { version, outcome, change, reason, term, digest, members, askedBy, durations } = answer;
  const lines = [`version      ${version}, ${outcome} under term ${term}`];
  if (change !== null) lines.push(`change       ${change}`);
  lines.push(`reason       ${reason}`);
  if (digest !== null) lines.push(`mapping      ${digest.slice(0, 12)} on ${members.length} ranks`);
  if (answer.moves !== null) {
    lines.push(`moves        ${answer.moves} (${bytes(answer.bytes ?? 0)})`);
  }
  if (askedBy !== null) {
    const { id, command, requester } = askedBy;
    const whom = requester.user ?? 'unnamed';
    const word = requester.verified ? 'vouched for by the server' : 'unverified';
    lines.push(`asked by     ${whom} (${word}), ${command}, request ${id}`);
  }
  const took = Object.entries(durations ?? {}).map(([name, ms]) => `${name} ${Math.round(ms)}`);
  if (took.length > 0) lines.push(`durations    ${took.join(', ')}`);
  if (answer.votes !== null) {
    lines.push(`votes        ${answer.votes.yes} yes of ${answer.votes.needed}`);
  }
  const gain = answer.measured?.balancedness ?? null;
  if (gain !== null) {
    lines.push(`came true    balancedness ${gain.before.toFixed(3)} to ${gain.after.toFixed(3)}`);
  }
  if (answer.next != null) {
    lines.push(`looked at    the newest ${answer.searched} events; older ones may tell more`);
  }
  return [...lines, '', ...answer.events.map(renderEvent)].join('\n');
}

import type { Command, Help, Option } from 'commander';
import { manuals } from './manuals.js';

const widthMax = 100;
const indentation = 2;

const commonExitCodes: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'refused or failed; standard error says why',
  2: 'wrong options or arguments, or a change that nobody confirmed',
  3: 'no NATS server, or no coordinator, answers',
  130: 'interrupted by Ctrl-C',
};
const changeExitCodes: Readonly<Record<number, string>> = {
  4: 'the time of --wait is over, and the command goes on',
  130: 'Ctrl-C: at the question nothing was changed; afterwards the command goes on',
};

/** The help of a command, laid out as a page of a manual. */
export function formatHelp(command: Command, helper: Help): string {
  const width = Math.min(widthMax, helper.helpWidth ?? widthMax);
  const path = pathOf(command);
  const manual = manuals[path];
  const name = path === '' ? 'isobar' : `isobar ${path}`;
  const paragraphs = [helper.commandDescription(command), ...(manual?.details ?? [])];
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['SYNOPSIS', [synopsisOf(command, name)]],
    ['DESCRIPTION', paragraphs.flatMap((text) => ['', ...wrapped(text, width, helper)]).slice(1)],
    [
      'ARGUMENTS',
      items(
        helper
          .visibleArguments(command)
          .map((argument) => [helper.argumentTerm(argument), helper.argumentDescription(argument)]),
        width,
        helper,
      ),
    ],
    [
      'COMMANDS',
      items(
        helper
          .visibleCommands(command)
          .map((each) => [each.name(), firstSentence(helper.subcommandDescription(each))]),
        width,
        helper,
      ),
    ],
    [
      'OPTIONS',
      items(
        helper
          .visibleOptions(command)
          .map((option) => [helper.optionTerm(option), optionDescription(option, helper)]),
        width,
        helper,
      ),
    ],
    [
      'OPTIONS OF EVERY COMMAND',
      path === '' ? [] : items(globalOptionsOf(command, helper), width, helper),
    ],
    ['EXIT CODES', items(exitCodesOf(command, path), width, helper)],
    ['EXAMPLES', (manual?.examples ?? []).flatMap(({ line, does }) => [`# ${does}`, line])],
    ['SEE ALSO', seeAlsoOf(path)],
  ];
  const text = sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => [helper.styleTitle(title), ...lines.map(indented)].join('\n'))
    .join('\n\n');
  return `${text}\n`;
}

/** Words of a command without the program's own. */
export function pathOf(command: Command): string {
  const { parent } = command;
  if (parent === null) return '';
  const above = pathOf(parent);
  return above === '' ? command.name() : `${above} ${command.name()}`;
}

/** That a switch is off unless it is given goes without saying. */
function optionDescription(option: Option, helper: Help): string {
  return helper.optionDescription(option).replace(' (default: false)', '');
}

function firstSentence(text: string): string {
  return /^.*?[.:](?=\s|$)/.exec(text)?.[0].replace(/[.:]$/, '') ?? text;
}

function synopsisOf(command: Command, name: string): string {
  return `${name} ${command.usage()}`.trim();
}

function globalOptionsOf(command: Command, helper: Help): [string, string][] {
  const found: [string, string][] = [];
  for (let above = command.parent; above !== null; above = above.parent) {
    for (const option of helper.visibleOptions(above)) {
      if (option.long === '--help') continue;
      found.push([helper.optionTerm(option), optionDescription(option, helper)]);
    }
  }
  return found;
}

function exitCodesOf(command: Command, path: string): [string, string][] {
  if (command.commands.length > 0 && path !== '') return [];
  const changes = command.options.some(({ long }) => long === '--dry-run');
  const codes = {
    ...commonExitCodes,
    ...(changes || path === '' ? changeExitCodes : {}),
    ...manuals[path]?.exitCodes,
  };
  return Object.entries(codes);
}

function seeAlsoOf(path: string): string[] {
  const others = path === '' ? ['README.md', 'docs/COMMANDS.md'] : (manuals[path]?.seeAlso ?? []);
  const named = others.map((other) => (/[./]/.test(other) ? other : `isobar ${other}`));
  return named.length === 0 ? [] : [named.join(', ')];
}

function items(of: readonly (readonly [string, string])[], width: number, helper: Help): string[] {
  const termWidth = Math.min(26, Math.max(0, ...of.map(([term]) => term.length)));
  return of.flatMap(([term, description]) => {
    const lines = wrapped(description, width - termWidth - 2, helper);
    const [first = '', ...rest] = lines;
    const pad = ' '.repeat(termWidth + 2);
    const own =
      term.length > termWidth ? [term, `${pad}${first}`] : [`${term.padEnd(termWidth)}  ${first}`];
    return [...own, ...rest.map((line) => `${pad}${line}`)];
  });
}

function wrapped(text: string, width: number, helper: Help): string[] {
  return helper.boxWrap(text, width - indentation).split('\n');
}

function indented(line: string): string {
  return line === '' ? '' : `${' '.repeat(indentation)}${line}`;
}

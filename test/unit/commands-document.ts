import {
  type CommandName,
  commandNames,
  commandSchemas,
  commands,
  commonChangeRefusals,
  commonRefusals,
} from '@isobar/protocol';
import { z } from 'zod';

/*
 * docs/COMMANDS.md as it is to be. What fields there are, what they mean and what may be refused is in
 * the table of commands; this puts it on paper.
 */

const schemaNode = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  description: z.string().optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  default: z.unknown().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  pattern: z.string().optional(),
  required: z.array(z.string()).optional(),
  get properties() {
    return z.record(z.string(), schemaNode).optional();
  },
  get items() {
    return schemaNode.optional();
  },
  get anyOf() {
    return z.array(schemaNode).optional();
  },
});
type SchemaNode = z.infer<typeof schemaNode>;

const envelope = ['requestId', 'dryRun', 'waitMs'];

const introduction = `# Commands

Operators' commands are endpoints of a NATS micro service that whoever leads the deployment serves: the
stock \`nats\` client finds and calls them. \`D\` stands for the deployment.

\`\`\`sh
nats micro ls
nats micro info isobar-D           # every endpoint, with the JSON Schemas of question and answer
nats req isobar.v1.D.command.status ''
nats req isobar.v1.D.command.drain '{"rank": 3, "dryRun": true}'
\`\`\`

\`isobar\` gives the same commands, by the same names. Who may give which is in [SECURITY.md](SECURITY.md).

**Bodies** are JSON, or MessagePack: a question whose first byte is 0x80 or above is read as MessagePack (a
map's first byte is), and the answer is written as the question was. An empty body is an empty object; 0x80
is one in MessagePack. Fields that are not listed are refused.

**Refusals** have the header \`Isobar-Error-Code\` ([errors.md](errors.md)), the service API's own
\`Nats-Service-Error\` and \`Nats-Service-Error-Code\`, and an empty body. Nothing was changed, and what is refused
is not remembered. Any command may be refused by
REFUSALS.
Nobody responds while nobody leads.

## What every command that changes something has in common

| field | type | meaning |
| --- | --- | --- |
ENVELOPE

It may be refused, beside the above, by CHANGE_REFUSALS.

**Once.** Id, a digest of the question, requester and outcome are written into the record \`control\` with the
change itself, and before anything is begun. Whoever leads when the command comes again answers what became of
it, and does nothing. The last 64 are remembered; those that are running are never forgotten for others.
Where an answer is lost, or is \`running\`, or the leader is deposed meanwhile
(\`ISOBAR_COORDINATOR_DEPOSED\`), send the same question with the same id again. Where the store
itself has lost acknowledged writes, the ids in them are lost too: the coordinator raises the alarm
\`store-behind\`.

**Outcomes.**

| outcome | meaning |
| --- | --- |
| \`done\` | what it says holds; no swap was needed |
| \`committed\` | its last version is in force, and followed by all |
| \`void\` | its version came to nothing; the reason says why |
| \`cancelled\` | by a command \`cancel\` or \`pause\`, whose requester the reason names; of a \`cancel\`: the version is void |
| \`superseded\` | something of higher rank came first; the reason says what, and who asked for it |
| \`outdated\` | another version came into force before it could begin |
| \`degraded\` | with the ranks there are it can't be done |
| \`unknown\` | the leader that began it is gone, and the records don't tell; the next leader does not begin it again |
| \`would-be-done\`, \`would-be-refused\` | of a dry run |

**Two at once.** Swaps go in this order: evacuations, joins and leaves, rollbacks and imports, drains,
rebalances. What goes first stops the other between two waves; of the same order the second is refused
(\`ISOBAR_COORDINATOR_SWAP_OPEN\`). Either is told by whom: the reason names command, requester and request.

The answer of all of them:

| field | type | meaning |
| --- | --- | --- |
CHANGE_ANSWER
`;

/** The whole document. */
export function commandsDocument(): string {
  const { question, answer } = commandSchemas('pause');
  const start = introduction
    .replace('CHANGE_REFUSALS', () => codes(commonChangeRefusals))
    .replace('REFUSALS', () => codes(commonRefusals))
    .replace('ENVELOPE', () => rows(schemaNode.parse(question), '', true).join('\n'))
    .replace('CHANGE_ANSWER', () => rows(schemaNode.parse(answer), '', false).join('\n'));
  return `${[start.trimEnd(), ...commandNames.map(section)].join('\n\n')}\n`;
}

function section(name: CommandName): string {
  const { access, description, example, refusals } = commands[name];
  const isChange = access === 'change';
  const question = schemaNode.parse(commandSchemas(name).question);
  const own = rows(question, '', true).filter(
    (row) => !envelope.some((field) => isChange && row.startsWith(`| \`${field}\``)),
  );
  const body = JSON.stringify(example);
  const parts = [
    `## ${name}`,
    description,
    `\`\`\`sh\nnats req isobar.v1.D.command.${name} '${body === '{}' ? '' : body}'\n\`\`\``,
    own.length === 0
      ? `No fields${isChange ? ' but those of all changing commands' : ''}.`
      : `| field | type | meaning |\n| --- | --- | --- |\n${own.join('\n')}`,
  ];
  if (refusals.length > 0) parts.push(`Refused by ${codes(refusals)}.`);
  if (!isChange) {
    const answer = rows(schemaNode.parse(commandSchemas(name).answer), '', false);
    const table = `| answer | type | meaning |\n| --- | --- | --- |\n${answer.join('\n')}`;
    parts.push(table);
  }
  return parts.join('\n\n');
}

function codes(names: readonly string[]): string {
  return [...names]
    .sort()
    .map((name) => `\`${name}\``)
    .join(', ');
}

/** A row for each field, those of objects within it after it. */
function rows(node: SchemaNode, path: string, isQuestion: boolean): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, field]) => {
    const own = `${path}${name}`;
    const isOptional = isQuestion && node.required?.includes(name) !== true;
    const meaning = [field.description ?? '', isOptional ? defaultOf(field) : ''];
    const told = meaning.filter((text) => text !== '').join(' ');
    const inner = innerOf(field);
    const suffix = inner === field || field.items === undefined ? '' : '[]';
    return [
      `| \`${own}\` | ${typeOf(field)} | ${told.replaceAll('|', '\\|')} |`,
      ...rows(inner, `${own}${suffix}.`, isQuestion),
    ];
  });
}

function defaultOf({ default: byDefault }: SchemaNode): string {
  return byDefault === undefined ? 'Optional.' : `Default: \`${JSON.stringify(byDefault)}\`.`;
}

/** The object whose fields are told under a field's own name. */
function innerOf(field: SchemaNode): SchemaNode {
  const some = field.anyOf?.find(({ type }) => type !== 'null') ?? field;
  return some.items?.properties === undefined ? some : some.items;
}

function typeOf(field: SchemaNode): string {
  if (field.anyOf !== undefined) return field.anyOf.map(typeOf).join(' or ');
  if (field.enum !== undefined) return field.enum.map((value) => `\`${value}\``).join(', ');
  if (field.items !== undefined) return `list of ${typeOf(field.items)}`;
  const { type = 'any', pattern, minimum, maximum } = field;
  if (pattern !== undefined) return `${type} \`${pattern.replaceAll('|', '\\|')}\``;
  const isBounded = minimum !== undefined && maximum !== undefined;
  if (!isBounded || maximum >= Number.MAX_SAFE_INTEGER) return [type].flat().join(' or ');
  return `${type}, ${minimum} to ${maximum}`;
}

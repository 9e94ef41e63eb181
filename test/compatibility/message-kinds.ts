import {
  bytesSchema,
  type CommandName,
  commands,
  controlRecordSchema,
  leaderRecordSchema,
  leaveAnswerSchema,
  leaveQuestionSchema,
  loadSampleSchema,
  mapRecordSchema,
  outcomeMessageSchema,
  outcomesAnswerSchema,
  outcomesQuestionSchema,
  prepareSchema,
  querySchema,
  rankAnswerSchema,
  rankReportSchema,
  retireSchema,
  swapStateSchema,
  voteSchema,
} from '@isobar/protocol';
import { z } from 'zod';

/** One kind of message or record between processes, or of a file that a later process reads. */
export interface MessageKind {
  readonly name: string;
  /** Of the subjects that carry it; a reply is of the subject that was asked. */
  readonly subject: RegExp;
  readonly isReply: boolean;
  readonly schema: z.ZodType;
}

const of = (name: string, subject: RegExp, schema: z.ZodType): MessageKind => ({
  name,
  subject,
  isReply: false,
  schema,
});
const replyTo = (name: string, subject: RegExp, schema: z.ZodType): MessageKind => ({
  ...of(name, subject, schema),
  isReply: true,
});

const eventSchema = z.looseObject({ schema: z.literal(1), kind: z.string() });

/** Commands that the recording gives, and both releases must have. */
export const recordedCommands = [
  'status',
  'plan',
  'history',
  'explain',
  'parameters',
  'export',
  'pause',
  'resume',
  'drain',
  'undrain',
] as const satisfies readonly CommandName[];

const commandKinds = recordedCommands.flatMap((name) => {
  const { question, answer } = commands[name];
  const subject = new RegExp(`\\.command\\.${name}$`);
  return [of(`command ${name}`, subject, question), replyTo(`answer to ${name}`, subject, answer)];
});

export const stateFileKind = 'state file of an agent';

export const messageKinds: readonly MessageKind[] = [
  of('load', /\.load\.\d+$/, loadSampleSchema),
  of('report', /\.agent\.\d+\.report$/, rankReportSchema),
  of('query', /\.agent\.\d+\.query$/, querySchema),
  replyTo('answer to query', /\.agent\.\d+\.query$/, rankAnswerSchema),
  of('prepare', /\.swap\.prepare$/, prepareSchema),
  of('outcome', /\.swap\.outcome$/, outcomeMessageSchema),
  of('retire', /\.swap\.retire$/, retireSchema),
  of('state', /\.swap\.state$/, swapStateSchema),
  of('vote', /\.vote\.\d+\.\d+$/, voteSchema),
  of('outcomes', /\.leader\.outcomes$/, outcomesQuestionSchema),
  replyTo('answer to outcomes', /\.leader\.outcomes$/, outcomesAnswerSchema),
  of('leave', /\.leader\.leave\.\d+$/, leaveQuestionSchema),
  replyTo('answer to leave', /\.leader\.leave\.\d+$/, leaveAnswerSchema),
  of('event', /\.event\.[a-z-]+$/, eventSchema),
  of('record of a mapping', /^\$KV\.isobar-demo\.map\.\d+$/, mapRecordSchema),
  of('record of the leader', /^\$KV\.isobar-demo\.leader$/, leaderRecordSchema),
  of('record of control', /^\$KV\.isobar-demo\.control$/, controlRecordSchema),
  of(stateFileKind, /^file$/, z.looseObject({ content: bytesSchema })),
  ...commandKinds,
];

/** One message as it was sent, of a recording. */
export const recordedSchema = z.object({
  kind: z.string(),
  subject: z.string(),
  bytes: z.base64(),
});
export type Recorded = z.infer<typeof recordedSchema>;

import { createHash, randomBytes } from 'node:crypto';
import { EplbError } from '@isobar/eplb';
import {
  type ChangeAnswer,
  type ChangeCommandName,
  type CommandEffect,
  type CommandIdentity,
  type CommandRequest,
  type ControlAnswer,
  type ControlRecord,
  IsobarError,
  knownRequest,
  type Operation,
  type OperationCommand,
  type OperationPreview,
  type PlanSummary,
  type Requester,
} from '@isobar/protocol';

/** What an operation came to, once it is durable and the leader has taken what it asks. */
export interface OperationResult {
  readonly control: ControlRecord;
  readonly request: CommandRequest | null;
  readonly isRepeated: boolean;
}

export interface AskedOperation {
  readonly token: number;
  /** Rejected with the machine's refusal, an IsobarError. */
  readonly done: Promise<OperationResult>;
}

export type OperationContent = Omit<Operation, 'token'>;

/** A command that has been thought through, and not begun. */
export interface PreparedCommand {
  readonly operation: Pick<OperationContent, 'change' | 'request' | 'cancel'>;
  readonly effect: CommandEffect | null;
  readonly plan: PlanSummary | null;
  /** What a dry run says it would do. */
  readonly reason: string;
  /** As things are it would be taken, and come to nothing. */
  readonly foreseen?: IsobarError | null;
  /** What it comes to, where that is told beside its being done. */
  readonly ended?: NonNullable<OperationCommand['ended']>;
  /** The machine has been asked: what the process itself keeps of it. */
  readonly onAsked?: (asked: AskedOperation, command: CommandIdentity) => void;
}

/** What changing commands need of the process that serves them. */
export interface ChangeTarget {
  /** As it was last written; null while this process neither leads nor takes over. */
  control(): ControlRecord | null;
  operate(operation: OperationContent): AskedOperation;
  preview(operation: OperationContent): OperationPreview;
  /** The command once it is done, null where it is not by then. */
  settled(id: string, waitMs: number): Promise<CommandRequest | null>;
}

interface ChangeQuestion {
  readonly requestId?: string | undefined;
  readonly dryRun: boolean;
  readonly waitMs: number;
}

/** What is thought through of a command, where it has not been taken before. */
type Prepare = () => PreparedCommand | Promise<PreparedCommand>;

/**
 * Carries a command out: once for each request id, whoever led when it was first sent.
 * @throws IsobarError its refusal; nothing was changed
 */
export async function carryOut(
  target: ChangeTarget,
  name: ChangeCommandName,
  question: ChangeQuestion,
  requester: Requester,
  prepare: Prepare,
): Promise<ChangeAnswer> {
  const { requestId: id = randomBytes(8).toString('hex'), waitMs } = question;
  const command = { id, digest: digestOf(name, question), command: name, requester };
  const control = target.control();
  const known = control === null ? null : knownRequest({ command }, control);
  if (question.dryRun) return dryRun(target, name, known, prepare);
  if (known instanceof IsobarError) throw known;
  // What was taken before is not thought through again: it may be refused by now because it is done.
  if (control !== null && known !== null) {
    return answered(target, known, waitMs, { ...nothingBegun, control });
  }
  const prepared = await prepare();
  const { ended } = prepared;
  const told = ended === undefined ? command : { ...command, ended };
  const asked = target.operate({ ...prepared.operation, command: told });
  prepared.onAsked?.(asked, command);
  const { request, isRepeated, control: written } = await asked.done;
  if (request === null) {
    const text = `request ${id} was done, and has been forgotten for newer ones`;
    throw new IsobarError('ISOBAR_COORDINATOR_BUSY', text, { requestId: id });
  }
  const { effect, plan } = isRepeated ? nothingBegun : prepared;
  return answered(target, request, waitMs, { effect, plan, control: written });
}

interface Begun extends Pick<PreparedCommand, 'effect' | 'plan'> {
  readonly control: ControlRecord;
}

const nothingBegun = { effect: null, plan: null };

async function answered(
  target: ChangeTarget,
  taken: CommandRequest,
  waitMs: number,
  { effect, plan, control }: Begun,
): Promise<ChangeAnswer> {
  const ended = taken.outcome === null ? await target.settled(taken.id, waitMs) : taken;
  const { id, command, outcome, reason, baseVersion, version } = ended ?? taken;
  return {
    requestId: id,
    command,
    dryRun: false,
    state: outcome === null ? 'running' : 'done',
    outcome,
    reason,
    code: null,
    baseVersion,
    version,
    effect,
    plan,
    control: controlAnswer(target.control() ?? control),
  };
}

async function dryRun(
  target: ChangeTarget,
  name: ChangeCommandName,
  known: CommandRequest | IsobarError | null,
  prepare: Prepare,
): Promise<ChangeAnswer> {
  const nothing = { change: null, request: null };
  let prepared: PreparedCommand | null = null;
  let refusal: IsobarError | EplbError | null = null;
  try {
    if (known instanceof IsobarError) throw known;
    prepared = known === null ? await prepare() : notAgain(known);
  } catch (error) {
    if (!(error instanceof IsobarError || error instanceof EplbError)) throw error;
    refusal = error;
  }
  const preview = target.preview(prepared?.operation ?? nothing);
  refusal ??= preview.refusal ?? prepared?.foreseen ?? null;
  return {
    requestId: null,
    command: name,
    dryRun: true,
    state: 'done',
    outcome: refusal === null ? 'would-be-done' : 'would-be-refused',
    reason: refusal?.message ?? prepared?.reason ?? '',
    code: refusal?.code ?? null,
    baseVersion: prepared?.operation.request?.base.version ?? null,
    version: null,
    effect: prepared?.effect ?? null,
    plan: prepared?.plan ?? null,
    control: controlAnswer(preview.control),
  };
}

/** What sending a request again does. */
function notAgain({ id, outcome }: CommandRequest): PreparedCommand {
  const reason = `request ${id} was taken before (${outcome ?? 'running'}): it would not be done again`;
  return { operation: { change: null, request: null }, effect: null, plan: null, reason };
}

function controlAnswer(control: ControlRecord): ControlAnswer {
  const { mode, paused, held, drained, slotLimits, dead, parameters } = control;
  const lists = { drained: [...drained], slotLimits: [...slotLimits], dead: [...dead] };
  return { mode, paused, held, ...lists, parameters };
}

/** Of what is asked for, however it was written: not of how long to wait. */
function digestOf(
  name: ChangeCommandName,
  { requestId: _, dryRun: __, waitMs: ___, ...content }: ChangeQuestion & object,
): string {
  return createHash('sha256')
    .update(JSON.stringify([name, content]))
    .digest('hex');
}

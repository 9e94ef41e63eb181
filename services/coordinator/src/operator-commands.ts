import { EplbError } from '@isobar/eplb';
import {
  type CommandName,
  type ControlChange,
  type ControlRecord,
  IsobarError,
} from '@isobar/protocol';
import type { DeploymentEndpoint } from './command-audit.js';
import type { Leadership } from './leadership.js';
import {
  approveQuestionSchema,
  type ControlAnswer,
  cancelQuestionSchema,
  declareDeadQuestionSchema,
  emptyQuestionSchema,
  modeQuestionSchema,
  rankQuestionSchema,
  readQuestion,
  rollbackQuestionSchema,
  type StatusAnswer,
} from './operator-messages.js';

/** What commands need of the process that serves them. */
export interface CommandTarget {
  /** Whether this process is to answer: it holds the lease at this moment. */
  isHolder(): boolean;
  /** @throws IsobarError ISOBAR_COORDINATOR_NOT_LEADING: it holds the lease, and does not lead yet */
  leadership(): Leadership;
  status(): StatusAnswer;
  /** Resolves once the change is durable. @throws IsobarError the machine's refusal */
  change(change: ControlChange): Promise<ControlRecord>;
  cancel(reason: string): Promise<ControlRecord>;
}

/**
 * The commands of one deployment, as endpoints of a NATS micro service. Only the holder of the
 * lease answers: another that still gets commands says nothing, and leaves them to it.
 */
export function operatorCommands(target: CommandTarget): DeploymentEndpoint[] {
  return [...watchingCommands(target), ...steeringCommands(target), ...memberCommands(target)].map(
    ({ name, description, act }) => ({
      name,
      description,
      handle: async (payload) => {
        if (!target.isHolder()) return null;
        return new TextEncoder().encode(JSON.stringify(await coded(() => act(payload))));
      },
    }),
  );
}

interface Command {
  readonly name: CommandName;
  readonly description: string;
  readonly act: (payload: Uint8Array) => unknown;
}

function watchingCommands(target: CommandTarget): Command[] {
  return [
    {
      name: 'status',
      description: 'What the deployment does now',
      act: (payload) => {
        readQuestion(payload, emptyQuestionSchema);
        return target.status();
      },
    },
    {
      name: 'plan',
      description: 'What would be done now, and why; nothing is changed',
      act: (payload) => {
        readQuestion(payload, emptyQuestionSchema);
        return target.leadership().rebalancing.explainPlan();
      },
    },
    {
      name: 'mapping',
      description: 'The mapping in force, whole',
      act: (payload) => {
        readQuestion(payload, emptyQuestionSchema);
        return target.leadership().mappingAnswer();
      },
    },
  ];
}

function steeringCommands(target: CommandTarget): Command[] {
  const change = (
    name: CommandName,
    description: string,
    read: (payload: Uint8Array) => ControlChange,
  ): Command => ({
    name,
    description,
    act: async (payload) => controlAnswer(await target.change(read(payload))),
  });
  return [
    {
      name: 'approve',
      description: 'Applies the plan that waits: {"plan": id}',
      act: (payload) => {
        const { plan } = readQuestion(payload, approveQuestionSchema);
        return target.leadership().rebalancing.approve(plan);
      },
    },
    change('mode', 'Sets the mode: {"mode": "observe" | "approve" | "automatic"}', (payload) => ({
      kind: 'mode',
      mode: readQuestion(payload, modeQuestionSchema).mode,
    })),
    change('pause', 'Begins no further wave until resumed', (payload) => {
      readQuestion(payload, emptyQuestionSchema);
      return { kind: 'pause' };
    }),
    change('resume', 'Ends a pause, and what a rollback holds', (payload) => {
      readQuestion(payload, emptyQuestionSchema);
      return { kind: 'resume' };
    }),
    {
      name: 'cancel',
      description: 'Voids the open swap and drops the waves that wait: {"reason": text}',
      act: async (payload) => {
        const { reason } = readQuestion(payload, cancelQuestionSchema);
        return controlAnswer(await target.cancel(reason));
      },
    },
    {
      name: 'rollback',
      description: 'Goes back to the mapping of a version, and holds balancing: {"version": N}',
      act: async (payload) => {
        const { version } = readQuestion(payload, rollbackQuestionSchema);
        const leadership = target.leadership();
        const begun = await leadership.rollback(version);
        return { version, ...begun, held: leadership.leader.control.held };
      },
    },
  ];
}

function memberCommands(target: CommandTarget): Command[] {
  const ofRank = (
    name: CommandName,
    description: string,
    act: (rank: number) => Promise<ControlRecord>,
  ): Command => ({
    name,
    description,
    act: async (payload) => {
      const { rank } = readQuestion(payload, rankQuestionSchema);
      return controlAnswer(await act(rank));
    },
  });
  return [
    ofRank('drain', 'Moves all experts away from a rank, and keeps it empty: {"rank": n}', (rank) =>
      target.leadership().drain(rank),
    ),
    ofRank('undrain', 'Lets a drained rank hold experts again: {"rank": n}', (rank) =>
      target.change({ kind: 'undrain', rank }),
    ),
    ofRank('leave', 'Moves all experts away from a rank, and lets it go: {"rank": n}', (rank) =>
      target.leadership().leave(rank),
    ),
    {
      name: 'declare-dead',
      description:
        'Vouches that an engine process has ended: {"rank": n, "incarnation": 16 hex digits}',
      act: async (payload) => {
        const member = readQuestion(payload, declareDeadQuestionSchema);
        return controlAnswer(await target.change({ kind: 'declare-dead', member }));
      },
    },
  ];
}

function controlAnswer({ mode, paused, held, drained, dead }: ControlRecord): ControlAnswer {
  return { mode, paused, held, drained, dead };
}

/** Refusals of the placement package are answers too, by their own code. */
async function coded<T>(act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof EplbError)) throw error;
    throw new IsobarError(error.code, error.message, error.fields, { cause: error });
  }
}

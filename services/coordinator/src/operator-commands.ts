import type {
  ChangeAnswer,
  ChangeCommandName,
  CommandQuestion,
  ControlChange,
  Requester,
} from '@isobar/protocol';
import { carryOut, type PreparedCommand } from './change-commands.js';
import type { CommandHandlers } from './command-endpoints.js';
import type { CommandTarget } from './command-target.js';
import { explainOf, historyOf } from './history-commands.js';

/** What each command of a deployment does, of the process that serves it. */
export function operatorCommands(target: CommandTarget): CommandHandlers {
  return {
    status: (question) => target.status(question),
    plan: () => target.leadership().rebalancing.explainPlan(),
    export: ({ version }) => target.leadership().placements.exported(version),
    history: (question) => historyOf(target, question),
    explain: (question) => explainOf(target, question),
    ...steeringCommands(target),
    ...placingCommands(target),
    ...memberCommands(target),
    ...parameterCommands(target),
  };
}

type Of<Name extends ChangeCommandName> = Pick<CommandHandlers, Name>;

type Act<Name extends ChangeCommandName> = (
  question: CommandQuestion<Name>,
  requester: Requester,
) => Promise<ChangeAnswer>;

/** A handler that has a command thought through, and carried out once. */
function handler<Name extends ChangeCommandName>(
  target: CommandTarget,
  name: Name,
  prepare: (question: CommandQuestion<Name>) => PreparedCommand | Promise<PreparedCommand>,
): Act<Name> {
  return (question, requester) =>
    carryOut(target, name, question, requester, () => prepare(question));
}

/** A command that changes the record alone. */
function recorded(change: ControlChange | null, reason: string): PreparedCommand {
  return { operation: { change, request: null }, effect: null, plan: null, reason };
}

function steeringCommands(
  target: CommandTarget,
): Of<'mode' | 'pause' | 'resume' | 'cancel' | 'refuse'> {
  return {
    mode: handler(target, 'mode', ({ mode }) =>
      recorded({ kind: 'mode', mode }, `the mode would be ${mode}`),
    ),
    pause: handler(target, 'pause', () =>
      recorded({ kind: 'pause' }, 'no further wave would begin'),
    ),
    resume: handler(target, 'resume', () =>
      recorded({ kind: 'resume' }, 'waves and balancing by itself would begin again'),
    ),
    cancel: handler(target, 'cancel', ({ reason }) => ({
      ...recorded(null, target.leadership().cancelPreview()),
      operation: { change: null, request: null, cancel: { reason } },
    })),
    refuse: handler(target, 'refuse', ({ plan }) => target.leadership().prepareRefusal(plan)),
  };
}

function placingCommands(
  target: CommandTarget,
): Of<'approve' | 'rebalance' | 'rollback' | 'import'> {
  return {
    approve: handler(target, 'approve', ({ plan }) => target.leadership().prepareApproval(plan)),
    rebalance: handler(target, 'rebalance', ({ layers }) =>
      target.leadership().prepareRebalance(layers),
    ),
    rollback: handler(target, 'rollback', ({ version }) =>
      target.leadership().placements.prepare({ kind: 'rollback', version }),
    ),
    import: handler(target, 'import', ({ mapping }) =>
      target.leadership().placements.prepare({ kind: 'import', mapping }),
    ),
  };
}

function parameterCommands(
  target: CommandTarget,
): Pick<CommandHandlers, 'parameters' | 'set-parameters'> {
  return {
    parameters: () => target.parameters.answer(target.leadership().leader.control.mode),
    'set-parameters': handler(target, 'set-parameters', ({ parameters }) => {
      // Who does not lead yet says so first.
      target.leadership();
      return target.parameters.prepare(parameters);
    }),
  };
}

function memberCommands(
  target: CommandTarget,
): Of<'drain' | 'undrain' | 'leave' | 'offer' | 'declare-dead'> {
  return {
    drain: handler(target, 'drain', (named) => target.leadership().prepareDrain(named)),
    undrain: handler(target, 'undrain', (named) => {
      const ranks = target.leadership().ranksNamed(named);
      const reason = `rank ${ranks.join(', ')} might hold experts again`;
      return recorded({ kind: 'undrain', ranks }, reason);
    }),
    leave: handler(target, 'leave', ({ rank }) => target.leadership().prepareLeave(rank)),
    offer: handler(target, 'offer', ({ rank, slots }) =>
      target.leadership().prepareLimit(rank, slots),
    ),
    'declare-dead': handler(target, 'declare-dead', ({ rank, incarnation }) => {
      const member = { rank, incarnation };
      const reason = `rank ${rank} with incarnation ${incarnation} would be taken for dead for good`;
      return recorded({ kind: 'declare-dead', member }, reason);
    }),
  };
}

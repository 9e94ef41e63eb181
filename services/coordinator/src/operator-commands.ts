import { EplbError } from '@isobar/eplb';
import { type CommandName, IsobarError } from '@isobar/protocol';
import type { DeploymentEndpoint } from './command-audit.js';
import type { Leader } from './leader.js';
import {
  approveQuestionSchema,
  emptyQuestionSchema,
  modeQuestionSchema,
  readQuestion,
} from './operator-messages.js';

/**
 * The commands of one deployment, as endpoints of a NATS micro service.
 * @param leader null while this coordinator does not lead
 */
export function operatorCommands(leader: () => Leader | null): DeploymentEndpoint[] {
  const command = (
    name: CommandName,
    description: string,
    act: (leader: Leader, payload: Uint8Array) => unknown,
  ): DeploymentEndpoint => ({
    name,
    description,
    handle: async (payload) => {
      const leading = leader();
      if (leading === null) {
        throw new IsobarError(
          'ISOBAR_COORDINATOR_NOT_LEADING',
          'this coordinator does not lead yet',
        );
      }
      return new TextEncoder().encode(JSON.stringify(await coded(() => act(leading, payload))));
    },
  });
  const control = (
    name: CommandName,
    description: string,
    read: (payload: Uint8Array) => Parameters<Leader['setControl']>[0],
  ) =>
    command(name, description, async (leading, payload) => {
      const { mode, paused } = await leading.setControl(read(payload));
      return { mode, paused };
    });
  const nothing = (payload: Uint8Array) => readQuestion(payload, emptyQuestionSchema);
  return [
    command('status', 'What the deployment does now', (leading, payload) => {
      nothing(payload);
      return leading.status();
    }),
    command('plan', 'What would be done now, and why; nothing is changed', (leading, payload) => {
      nothing(payload);
      return leading.rebalancing.explainPlan();
    }),
    command('approve', 'Applies the plan that waits: {"plan": id}', (leading, payload) =>
      leading.rebalancing.approve(readQuestion(payload, approveQuestionSchema).plan),
    ),
    command('mapping', 'The mapping in force, whole', (leading, payload) => {
      nothing(payload);
      return leading.mappingAnswer();
    }),
    control('mode', 'Sets the mode: {"mode": "observe" | "approve" | "automatic"}', (payload) =>
      readQuestion(payload, modeQuestionSchema),
    ),
    control('pause', 'Begins no further wave until resumed', (payload) => {
      nothing(payload);
      return { paused: true };
    }),
    control('resume', 'Ends a pause', (payload) => {
      nothing(payload);
      return { paused: false };
    }),
  ];
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

import type { CommandEndpoint } from '@isobar/bus';
import {
  type CommandName,
  commandAccess,
  IsobarError,
  type Requester,
  readRequester,
} from '@isobar/protocol';

/** A command that was to change something, for the audit trail. */
export interface CommandEvent {
  readonly command: string;
  readonly requester: Requester;
  readonly outcome: 'done' | 'refused';
  /** The refusal's code, null where it was done. */
  readonly code: string | null;
}

/** A command of this deployment: its access says who may give it. */
export type DeploymentEndpoint = CommandEndpoint & { readonly name: CommandName };

/**
 * Tells of every command that may change something, and who gave it. A command that should carry the
 * server's word for its requester and doesn't is refused before anything is done.
 * @param vouchedAccount as of `readRequester`
 */
export function audited(
  endpoints: readonly DeploymentEndpoint[],
  vouchedAccount: string | null,
  tell: (event: CommandEvent) => void,
): CommandEndpoint[] {
  return endpoints.map((endpoint) => ({
    ...endpoint,
    handle: async (payload, information) => {
      const requester = readRequester(information, vouchedAccount);
      const told = (outcome: CommandEvent['outcome'], code: string | null) => {
        if (commandAccess[endpoint.name] === 'read') return;
        tell({ command: endpoint.name, requester, outcome, code });
      };
      try {
        const answer = await endpoint.handle(payload, information);
        // Null: it is left to another process, which tells of it.
        if (answer !== null) told('done', null);
        return answer;
      } catch (error) {
        told('refused', error instanceof IsobarError ? error.code : 'ISOBAR_BUS_HANDLER_FAILED');
        throw error;
      }
    },
  }));
}

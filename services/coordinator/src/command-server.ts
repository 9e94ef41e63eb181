import type { Bus, CommandService, CommandServiceOptions } from '@isobar/bus';
import {
  commandServiceName,
  type Fence,
  type IsobarError,
  softwareVersion,
} from '@isobar/protocol';
import { type CommandEvent, commandEndpoints } from './command-endpoints.js';
import type { CommandTarget } from './command-target.js';
import { operatorCommands } from './operator-commands.js';

export interface CommandServerOptions {
  readonly bus: Bus;
  readonly deployment: string;
  readonly subjectPrefix: string;
  readonly target: CommandTarget;
  /** As of `readRequester`. */
  readonly vouchedAccount: string | null;
  readonly tell: (event: CommandEvent) => void;
  /** Told of commands that were not to be taken. */
  readonly onRefused: (error: IsobarError) => void;
  readonly onFailure: (cause: unknown) => void;
}

/**
 * Serves operators' commands while the process holds the lease, in a queue group of that leadership
 * alone: a leader before it that is paused can't take any from the one that leads, and one that
 * wakes finds that it is not to answer.
 */
export class CommandServer {
  readonly #options: CommandServerOptions;
  /** One service after the other. */
  #service: Promise<CommandService | null> = Promise.resolve(null);

  constructor(options: CommandServerOptions) {
    this.#options = options;
  }

  serve({ term, nonce }: Fence): void {
    const { bus, deployment, subjectPrefix, target, vouchedAccount, tell, onRefused } =
      this.#options;
    const options: CommandServiceOptions = {
      name: commandServiceName(deployment),
      version: softwareVersion,
      description: `Commands of the Isobar deployment ${deployment}`,
      subjectPrefix,
      queueGroup: `term-${term}-${nonce}`,
    };
    const endpoints = commandEndpoints({
      handlers: operatorCommands(target),
      isHolder: () => target.isHolder(),
      vouchedAccount,
      tell,
      onRefused,
    });
    this.#follow(() => bus.serveCommands(options, endpoints));
  }

  /** Takes no command from now on. */
  stop(): void {
    this.#follow(() => Promise.resolve(null));
  }

  /** Resolves once what was asked for so far is done. */
  async settled(): Promise<void> {
    await this.#service;
  }

  #follow(next: () => Promise<CommandService | null>): void {
    this.#service = this.#service.then(async (before) => {
      await before?.stop();
      return next();
    });
    this.#service.catch(this.#options.onFailure);
  }
}

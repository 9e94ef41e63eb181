import {
  type ConfigurationChanges,
  changesBetween,
  type OptionChange,
  type OtherGroup,
  textOf,
  withoutRestarts,
} from './changes-between.js';
import type { Environment } from './environment-values.js';
import { type LoadedConfiguration, loadConfiguration } from './load-configuration.js';

/** A process's configuration, which can be read again while it runs. */
export class LiveConfiguration {
  readonly #environment: Environment;
  readonly #other: OtherGroup;
  #current: LoadedConfiguration;

  private constructor(current: LoadedConfiguration, environment: Environment, other: OtherGroup) {
    this.#current = current;
    this.#environment = environment;
    this.#other = other;
  }

  /**
   * @param other the group that this process has nothing to do with
   * @throws as loadConfiguration
   */
  static async load(
    file: string,
    environment: Environment,
    other: OtherGroup,
  ): Promise<LiveConfiguration> {
    return new LiveConfiguration(await loadConfiguration(file, environment), environment, other);
  }

  /** As it holds: of what changes by a restart alone, as it was at the start. */
  get current(): LoadedConfiguration {
    return this.#current;
  }

  /**
   * Reads file and environment again.
   * @param accept throws where the process can't have it
   * @throws as loadConfiguration and `accept`; then nothing is changed
   */
  async reload(accept: (next: LoadedConfiguration) => void): Promise<ConfigurationChanges> {
    const read = await loadConfiguration(this.#current.file, this.#environment);
    const next = withoutRestarts(this.#current, read);
    accept(next);
    const changes = changesBetween(this.#current, read, this.#other);
    this.#current = next;
    return changes;
  }
}

interface ReloadLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ReloadOptions {
  readonly logger: ReloadLogger;
  /** Throws where the process can't have it. */
  readonly accept?: (next: LoadedConfiguration) => void;
  /** Applies what can change while the process runs. */
  readonly apply: (next: LoadedConfiguration) => void;
}

/**
 * On SIGHUP the configuration is read again: what can change is applied at once, what can't is told
 * in a line each, and of one that is refused nothing holds.
 */
export function reloadOnHangUp(live: LiveConfiguration, options: ReloadOptions): void {
  const { logger, accept = () => undefined, apply } = options;
  let isReading = false;
  let isAskedAgain = false;
  const read = async () => {
    try {
      const { applicable, needingRestart } = await live.reload(accept);
      apply(live.current);
      for (const change of applicable) logger.info(told(change), 'option changed');
      for (const change of needingRestart) logger.warn(told(change), 'option needs a restart');
      const counts = { changed: applicable.length, needRestart: needingRestart.length };
      logger.info(counts, 'configuration read again');
    } catch (error) {
      logger.error({ err: error }, 'configuration refused: nothing is changed');
    }
  };
  process.on('SIGHUP', () => {
    isAskedAgain = isReading;
    if (isReading) return;
    isReading = true;
    void read().then(async function goOn(): Promise<void> {
      if (!isAskedAgain) {
        isReading = false;
        return;
      }
      isAskedAgain = false;
      await read();
      await goOn();
    });
  });
}

function told({ name, from, to }: OptionChange) {
  return { option: name, from: textOf(from), to: textOf(to) };
}

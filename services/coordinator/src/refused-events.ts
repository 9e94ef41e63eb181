import type { Intake } from '@isobar/bus';
import { IsobarError, type MessageKind } from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';

/** Events that are messages; others are the process's own. */
const kinds: Readonly<Record<string, MessageKind>> = {
  vote: 'vote',
  report: 'report',
  answer: 'answer',
  'outcomes-question': 'outcomes-question',
  operate: 'command',
};

/** Counts what the coordinator's machine did not take, by the kind of message that it came as. */
export class RefusedEvents {
  readonly #intake: Intake;
  readonly #logger: Logger;

  constructor(intake: Intake, logger: Logger) {
    this.#intake = intake;
    this.#logger = logger;
  }

  /** Its mailbox was full. */
  dropped(event: string): void {
    const text = `an event ${event} was dropped: too many wait already`;
    const error = new IsobarError('ISOBAR_BUS_OVERFLOW', text, { event });
    this.#intake.refuse(kinds[event] ?? 'other', error);
  }

  /** @param what an event, or something of the process's own, which is logged alone */
  refused(what: string, fields: IsobarError['fields']): void {
    const kind = kinds[what];
    if (kind === undefined) {
      this.#logger.warn({ ...fields, what }, 'refused');
      return;
    }
    const code = fields.code === undefined ? 'ISOBAR_COORDINATOR_VOTE_UNFIT' : String(fields.code);
    this.#intake.refuse(kind, new IsobarError(code, `a ${what} was refused`, fields));
  }
}

import type { CommandQuestion, StatusAnswer } from '@isobar/protocol';
import type { AuditReader } from './audit-reader.js';
import type { ChangeTarget } from './change-commands.js';
import type { Leadership } from './leadership.js';
import type { ParametersInForce } from './parameters-in-force.js';

/** What commands need of the process that serves them. */
export interface CommandTarget extends ChangeTarget {
  /** Whether this process is to answer: it holds the lease at this moment. */
  isHolder(): boolean;
  /** @throws IsobarError ISOBAR_COORDINATOR_NOT_LEADING: it holds the lease, and does not lead yet */
  leadership(): Leadership;
  status(question?: CommandQuestion<'status'>): StatusAnswer;
  readonly parameters: ParametersInForce;
  audit(): AuditReader;
}

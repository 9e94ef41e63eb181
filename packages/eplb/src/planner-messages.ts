import type {
  AbstractEplbPolicy,
  RebalanceReport,
  RebalanceRequest,
} from './abstract-eplb-policy.js';
import { DefaultEplbPolicy } from './default-eplb-policy.js';
import type { DispatchTable } from './dispatch/dispatch-table.js';
import { EplbError } from './eplb-error.js';
import type { ExpertMappingSpec } from './expert-mapping.js';
import { LocalityAwarePolicy } from './locality-aware-policy.js';

/** Policies that a planner worker can make. */
export type PolicyName = 'default' | 'locality-aware';

/** @throws EplbError ISOBAR_EPLB_UNKNOWN_POLICY */
export function createPolicy(name: string): AbstractEplbPolicy {
  if (name === 'default') return new DefaultEplbPolicy();
  if (name === 'locality-aware') return new LocalityAwarePolicy();
  throw new EplbError('ISOBAR_EPLB_UNKNOWN_POLICY', `there is no policy ${JSON.stringify(name)}`, {
    field: 'policy',
    policy: name,
  });
}

/** A request as it goes to the worker: a mapping as its plain arrays. */
export interface PlanQuestion {
  readonly policy: string;
  readonly request: Omit<RebalanceRequest, 'currentMapping'>;
  readonly currentMapping: ExpertMappingSpec | null;
}

/** `ready`: its modules are loaded, and it waits for questions. */
export type PlannerMessage = 'ready' | PlanAnswer;

export type PlanAnswer =
  | {
      readonly ok: true;
      readonly mapping: ExpertMappingSpec;
      readonly dispatch: DispatchTable | null;
      readonly report: RebalanceReport;
    }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

import type { Configuration } from '@isobar/configuration';
import type { CoordinatorTimings } from '@isobar/protocol';

/** What a coordinator takes of a deployment's configuration. */
export type CoordinatorSettings = Pick<Configuration, 'deployment'> &
  Configuration['nats'] &
  Configuration['coordinator'];

export function settingsOf({ deployment, nats, coordinator }: Configuration): CoordinatorSettings {
  return { deployment, ...nats, ...coordinator };
}

/** What the machine knows of time. */
export function timingsOf(settings: CoordinatorSettings): CoordinatorTimings {
  const { leaseMs, renewDeadlineMs, renewMs, retryMs, changeRetryMs, queryDeadlineMs } = settings;
  const { prepareDeadlineMs, discardDeadlineMs, decideDeadlineMs } = settings;
  const { activateDeadlineMs, retireDeadlineMs, cutAfterMs, backOffMs } = settings;
  const { runawayFollowMs, runawayFollowEveryMs } = settings;
  return {
    lease: { leaseMs, renewDeadlineMs, renewMs, retryMs },
    leader: {
      prepareDeadlineMs,
      discardDeadlineMs,
      decideDeadlineMs,
      activateDeadlineMs,
      retireDeadlineMs,
      cutAfterMs,
      backOffMs,
      retryMs: changeRetryMs,
    },
    askMs: queryDeadlineMs,
    runawayFollowMs,
    runawayFollowEveryMs,
  };
}

import type { StatusAnswer } from '@isobar/protocol';
import { openAlarms } from '../alarms.js';
import { isLeaderlessCode } from '../coordinator-client.js';
import { ranges, seconds } from '../table.js';
import { type Check, fail, ok, skip, warn } from './check.js';
import type { Facts } from './facts.js';

/** A swap that is open for longer is looked at. */
const swapMsMax = 120_000;

/** What to do about an alarm, where its name alone tells. */
const alarmAdvice: Readonly<Record<string, string>> = {
  'answers-missing': 'start the agents that it names, or isobar declare-dead their engines',
  'cannot-lead': 'see its code in docs/errors.md; the coordinator tries again by itself',
  'death-unproven': 'see whether that engine lives; if not, isobar declare-dead',
  degraded: 'bring ranks back: fewer slots than experts are live',
  'engines-disagree': 'start that engine with the model and settings of its group',
  'leader-unreadable': 'upgrade this coordinator, or see who wrote the record leader',
  'members-silent': 'start the agents of the ranks that it names, or see what keeps them',
  'message-too-large': 'raise max_payload of the NATS servers',
  'messages-refused': 'see docs/SECURITY.md, "What is refused, counted and alarmed"',
  'parameters-unusable': 'isobar parameters names them; isobar set each anew',
  'record-contradicted': 'read docs/PROTOCOL.md, "What has it shown"; the ranks outrank the store',
  'slow-phase': 'look at the ranks that it names',
  'topology-contradicted':
    'make the topology say where the ranks run, or have them run where it says',
  'store-behind': 'check the NATS servers: acknowledged records were lost; then isobar mode',
};

/** Likewise of the code that an alarm carries: it says more than the alarm. */
const codeAdvice: Readonly<Record<string, string>> = {
  ISOBAR_TOPOLOGY_RANKS: 'give every coordinator the topology of the ranks that run',
};

/** Who leads and what balancing does, and alarms. */
export function leaderChecks(facts: Facts): Check[] {
  const { status } = facts;
  const led = leader(facts);
  const balancing = status.kind === 'answer' ? balancingChecks(status.answer) : [];
  return [led, ...balancing, ...alarms(facts)];
}

function leader({ status }: Facts): Check {
  const name = 'leader';
  if (status.kind === 'answer') {
    const { holder, term, renewedAgoMs, leaseMs } = status.answer.leader;
    const found = `${holder}, term ${term}, lease renewed ${seconds(renewedAgoMs)} ago`;
    if (renewedAgoMs < leaseMs / 2) return ok(name, found);
    return warn(name, found, 'see whether its machine or the store is slow');
  }
  const { code, message } = status;
  if (code === 'ISOBAR_BUS_NO_RESPONDERS') {
    return fail(name, 'nobody leads', 'start a coordinator, or read the log of the one that runs');
  }
  if (isLeaderlessCode(code)) {
    return fail(name, message, 'see to the ranks that it waits for, and to the alarms below');
  }
  return fail(name, `${code}: ${message}`, `look up ${code} in docs/errors.md`);
}

function balancingChecks(status: StatusAnswer): Check[] {
  return [balancing(status), loads(status), swaps(status)];
}

function balancing({ mode, paused, held, heldBack, backOff, pendingPlan }: StatusAnswer): Check {
  const name = 'balancing';
  if (paused) return warn(name, `${mode}, paused`, 'isobar resume lets it go on');
  if (held !== null) return warn(name, `${mode}, held: ${held}`, 'isobar resume lets it go on');
  if (backOff !== null) {
    const found = `backs off after version ${backOff.version}: ${backOff.reason}`;
    return warn(name, found, `isobar explain ${backOff.version} tells more`);
  }
  if (heldBack !== null)
    return warn(name, `${mode}, held back: ${heldBack}`, 'see the ranks below');
  if (pendingPlan !== null) {
    return warn(name, `plan ${pendingPlan.id} waits`, 'isobar approve, or isobar refuse');
  }
  if (mode === 'observe')
    return warn(name, 'mode observe: nothing is changed', 'isobar plan, then isobar mode approve');
  return ok(name, mode);
}

function loads({ load }: StatusAnswer): Check {
  const name = 'loads';
  if (load.balancedness === null) {
    const missing =
      load.missingRanks.length === 0 ? '' : `; missing: rank ${ranges(load.missingRanks)}`;
    const advice = 'wait for traffic; engines must report loads, every rank of them';
    return warn(name, `no pass is complete yet${missing}`, advice);
  }
  return ok(
    name,
    `balancedness ${load.balancedness.toFixed(3)}, ${load.passes} passes in the window`,
  );
}

function swaps({ swap, swaps: { committed, void: voided } }: StatusAnswer): Check {
  const name = 'swaps';
  if (swap !== null && swap.ageMs > swapMsMax) {
    const found = `version ${swap.version} is ${swap.phase} for ${seconds(swap.ageMs)}, waiting for rank ${ranges(swap.missingRanks)}`;
    return warn(name, found, 'look at those ranks; before its decision isobar cancel voids it');
  }
  const found = `${committed} committed, ${voided} void under this leader`;
  return voided > committed ? warn(name, found, 'isobar history tells why') : ok(name, found);
}

function alarms({ events }: Facts): Check[] {
  const name = 'alarms';
  if (events.kind === 'refusal') return [skip(name, `events can't be read: ${events.message}`)];
  const open = openAlarms(events.answer);
  if (open.length === 0)
    return [ok(name, `none open among the last ${events.answer.length} events`)];
  return open.map(({ alarm, atMs, event }) => {
    const { code, version, missingRanks, members } = event;
    const told = { code, version, missingRanks, members };
    const found = `${alarm}, ${new Date(atMs).toISOString()} ${JSON.stringify(told)}`;
    const byCode = typeof code === 'string' ? codeAdvice[code] : undefined;
    const advice = byCode ?? alarmAdvice[alarm] ?? 'isobar history tells more';
    return fail(`alarm ${alarm}`, found, advice);
  });
}

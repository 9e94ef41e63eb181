import type {
  CommittedRecord,
  CoordinatorEffect,
  CoordinatorState,
  MapRecord,
  Member,
} from '@isobar/protocol';
import { sameFence } from '@isobar/protocol';
import type { World } from './world.js';

/** What kind of change a record is that the store has taken. */
export function watchRecord(world: World, record: MapRecord): void {
  const { situations } = world;
  if (record.outcome === 'void') {
    situations.count('void');
    return;
  }
  const base = world.rules.outcomes.createdAs(record.base.version);
  situations.count(`committed: ${nameOf(record)}`);
  if (record.change === 'evacuation' && isBeforeRetire(world, record)) {
    situations.count('committed: evacuation before retire');
  }
  if (base !== null) watchMembers(world, record, base);
}

function nameOf({ change, base }: CommittedRecord): string {
  return change === 'start' && base.version > 0 ? 'start, group restarted' : change;
}

/** The version before it has not been retired everywhere. */
function isBeforeRetire({ engines }: World, { base }: CommittedRecord): boolean {
  return engines.some((engine) => engine.routes && engine.swap.retiredUpTo < base.version);
}

function watchMembers(world: World, record: CommittedRecord, base: CommittedRecord): void {
  const { situations, engines } = world;
  for (const member of record.members) {
    if (!isIn(member, base.members)) situations.count('committed: a join');
  }
  for (const member of base.members) {
    if (isIn(member, record.members)) continue;
    const lives = engines.some(
      ({ process, incarnation }) => process.alive && incarnation === member.incarnation,
    );
    situations.count(lives ? 'committed: a leave, or a cut member' : 'committed: a removal');
  }
}

function isIn({ incarnation }: Member, members: readonly Member[]): boolean {
  return members.some((member) => member.incarnation === incarnation);
}

/** What a coordinator's step shows of takeovers and of leaders that are two. */
export function watchCoordinator(
  world: World,
  before: CoordinatorState,
  after: CoordinatorState,
  effects: readonly CoordinatorEffect[],
): void {
  const { situations } = world;
  const { role } = after;
  if (role.kind === 'leading' && before.role.kind !== 'leading') {
    const leaders = world.coordinators.filter(({ leads }) => leads).length;
    if (leaders > 1) situations.count('two leaders at once');
  }
  if (before.role.kind !== 'taking-over') return;
  for (const effect of effects) {
    if (effect.kind !== 'create-record') continue;
    const { fence, outcome } = world.reader.record(effect.bytes);
    const own = sameFence(fence, before.role.fence);
    situations.count(own ? `in doubt: recovered as ${outcome}` : 'record created again');
  }
}

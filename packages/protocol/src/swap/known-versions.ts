import type { DecidedVersion } from '../decided-version.js';
import type { CommittedRecord, MapRecord } from '../map-record.js';
import { type Member, memberKey, memberKeys, sameMembers } from '../member.js';
import { type Death, isSevered } from '../membership/severed.js';
import type { RankAnswer } from '../messages.js';

/** A rank's answer, and every outcome in it read. */
export interface RankWord {
  readonly answer: RankAnswer;
  /** Of the agent and of its engine. */
  readonly outcomes: readonly DecidedVersion[];
}

/** What records and answers together show to be decided. */
export interface KnownVersions {
  /** The outcome of each version that has one. */
  readonly outcomes: ReadonlyMap<number, DecidedVersion>;
  readonly newest: CommittedRecord | null;
  /** Told by ranks and absent from the store: to be created again, ascending. */
  readonly lost: readonly DecidedVersion[];
  /** Versions of which the store has another outcome than holds, ascending. */
  readonly contradicted: readonly number[];
  /** A version that living members have acted on differently, null where there is none. */
  readonly disputed: number | null;
}

export function memberOfWord({ answer }: RankWord): Member | null {
  const incarnation = answer.engine?.description.incarnation;
  return incarnation === undefined ? null : { rank: answer.rank, incarnation };
}

/**
 * Words said by engines that could hear nothing more of the dead. What others say that they have
 * acted on is true as well; that they know of nothing, and that a vote of theirs stands, may
 * have ceased to be so since.
 */
export function wordsSevered(words: readonly RankWord[], deaths: readonly Death[]): RankWord[] {
  return words.filter(({ answer: { rank, engine } }) =>
    deaths.every((death) => engine !== null && isSevered(rank, engine.state, death)),
  );
}

export function sameOutcome(left: MapRecord, right: MapRecord): boolean {
  if (left === right) return true;
  if (left.outcome !== 'committed' || right.outcome !== 'committed') {
    return left.outcome === right.outcome;
  }
  return (
    left.digest === right.digest &&
    left.base.version === right.base.version &&
    sameMembers(left.members, right.members)
  );
}

export function newestCommitted(
  outcomes: ReadonlyMap<number, DecidedVersion>,
): CommittedRecord | null {
  let newest: CommittedRecord | null = null;
  for (const { record } of outcomes.values()) {
    if (record.outcome === 'committed' && record.version > (newest?.version ?? 0)) newest = record;
  }
  return newest;
}

/**
 * Settles what holds, by whose word it is. First what living members have acted on. Then what
 * others keep: agents of engines that have ended, engines that were removed or never listed; one
 * of them may have been told an outcome that nobody else heard of, and have died before it could
 * tell, while the living decided otherwise. Last the store, which may have lost a record and got
 * another. Who is a member is told by the newest record, and that by the members' words: repeated
 * until neither changes.
 * @param isDead whether a member is proven dead
 */
export function weighOutcomes(
  stored: ReadonlyMap<number, DecidedVersion>,
  words: Iterable<RankWord>,
  isDead: (member: Member) => boolean,
): KnownVersions {
  const all = [...words];
  let known = combine(stored, [], all);
  for (let round = 0; round < roundsMax; round += 1) {
    const { newest } = known;
    const members = newest === null ? null : memberKeys(newest.members);
    const counts = (word: RankWord): boolean => {
      const member = memberOfWord(word);
      if (member === null || isDead(member)) return false;
      return members === null || members.has(memberKey(member));
    };
    const next = combine(
      stored,
      all.filter(counts),
      all.filter((word) => !counts(word)),
    );
    if (sameNewest(next.newest, newest)) return next;
    known = next;
  }
  // Each round rests on other members' words: they contradict each other.
  return { ...known, disputed: known.newest?.version ?? 0 };
}

const roundsMax = 16;

function sameNewest(left: CommittedRecord | null, right: CommittedRecord | null): boolean {
  if (left === null || right === null) return left === right;
  return left.version === right.version && sameOutcome(left, right);
}

function combine(
  stored: ReadonlyMap<number, DecidedVersion>,
  membersWords: readonly RankWord[],
  othersWords: readonly RankWord[],
): KnownVersions {
  const byMembers = told(membersWords);
  const byOthers = told(othersWords);
  const outcomes = new Map([...stored, ...byOthers.outcomes, ...byMembers.outcomes]);
  overruleByRecords(outcomes, byMembers.outcomes);
  const newest = newestCommitted(outcomes);
  const ranks = new Map([...byOthers.outcomes, ...byMembers.outcomes]);
  const lost = [...ranks.values()]
    .filter(({ known }) => !stored.has(known.version) && outcomes.has(known.version))
    .filter(
      ({ known }) =>
        byMembers.outcomes.has(known.version) || known.version >= (newest?.version ?? 0),
    );
  return {
    outcomes,
    newest,
    lost: ascending(lost),
    contradicted: [...stored.values()]
      .filter(({ known, record }) => {
        const holds = outcomes.get(known.version);
        return holds === undefined || !sameOutcome(holds.record, record);
      })
      .map(({ known }) => known.version)
      .sort((a, b) => a - b),
    disputed: byMembers.disputed,
  };
}

export function ascending(decided: readonly DecidedVersion[]): DecidedVersion[] {
  return [...decided].sort((a, b) => a.known.version - b.known.version);
}

function told(words: readonly RankWord[]): {
  readonly outcomes: ReadonlyMap<number, DecidedVersion>;
  readonly disputed: number | null;
} {
  const outcomes = new Map<number, DecidedVersion>();
  let disputed: number | null = null;
  for (const decided of words.flatMap((word) => word.outcomes)) {
    const { version } = decided.known;
    const before = outcomes.get(version);
    if (before !== undefined && !sameOutcome(before.record, decided.record)) disputed ??= version;
    // Of two that contradict each other a commit has more behind it: every vote.
    if (before === undefined || before.record.outcome === 'void') outcomes.set(version, decided);
  }
  return { outcomes, disputed };
}

/**
 * A committed record's base and voided numbers are outcomes too: everybody who voted for it had
 * acted on them. What contradicts them falls, but for what living members say themselves.
 */
function overruleByRecords(
  outcomes: Map<number, DecidedVersion>,
  byMembers: ReadonlyMap<number, DecidedVersion>,
): void {
  // From the newest down: a record that falls says nothing any more.
  for (const version of [...outcomes.keys()].sort((a, b) => b - a)) {
    const record = outcomes.get(version)?.record;
    if (record?.outcome !== 'committed') continue;
    const base = outcomes.get(record.base.version)?.record;
    const isBase = base?.outcome === 'committed' && base.digest === record.base.digest;
    const fallen = record.voided.filter(
      (number) => outcomes.get(number)?.record.outcome === 'committed',
    );
    if (base !== undefined && !isBase) fallen.push(record.base.version);
    for (const number of fallen) if (!byMembers.has(number)) outcomes.delete(number);
  }
}

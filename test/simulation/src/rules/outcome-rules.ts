import type { CommittedRecord, MapRecord } from '@isobar/protocol';
import { RuleViolation } from './rule-violation.js';

/** What an outcome says, for comparison: void, or what is committed, on top of what, by whom. */
const contents = new WeakMap<MapRecord, string>();

export function contentOf(record: MapRecord): string {
  let content = contents.get(record);
  if (content === undefined) {
    content = describeContent(record);
    contents.set(record, content);
  }
  return content;
}

function describeContent(record: MapRecord): string {
  if (record.outcome === 'void') return 'void';
  const members = record.members.map(({ rank, incarnation }) => `${rank}:${incarnation}`).join();
  return `${record.digest} on ${record.base.version}:${record.base.digest} by ${members}`;
}

/**
 * S1 and S2 over all that happens in a run: what was created, what was told by leaders, what ranks
 * have acted on, what was announced. S6's second half: nobody acts on what no leader has told.
 */
export class OutcomeRules {
  readonly #created = new Map<number, Set<string>>();
  readonly #committed = new Map<number, CommittedRecord>();
  readonly #told = new Map<number, Set<string>>();
  readonly #acted = new Map<
    number,
    {
      readonly record: MapRecord;
      readonly content: string;
      readonly who: string;
      /** Incarnations that have, or whose agents have for them. */
      readonly actors: Set<string>;
    }
  >();
  /** Incarnations that are vouched for as dead though they may live. */
  readonly #countedOut = new Set<string>();
  /** The newest committed version that any rank has acted on. */
  newestActed: CommittedRecord | null = null;
  readonly #announced = new Map<
    number,
    {
      readonly content: string;
      readonly who: string;
      /** Incarnation whose word made it final: a void's may be a refusal, which is no act. */
      readonly witness: string | null;
    }
  >();

  /** The store took a record. @param replaced what was under its key, null where nothing was */
  created(record: MapRecord, replaced: Uint8Array | null): void {
    if (replaced !== null) {
      throw new RuleViolation('S1', `the record of version ${record.version} is overwritten`);
    }
    addTo(this.#created, record.version, contentOf(record));
    if (record.outcome === 'committed') this.#committed.set(record.version, record);
  }

  /** The committed record last created under a version, null where there was none. */
  createdAs(version: number): CommittedRecord | null {
    return this.#committed.get(version) ?? null;
  }

  /** A leader says so to ranks: as an outcome, or in answer to a question. */
  told(record: MapRecord, who: string): void {
    const { version } = record;
    this.#mustBeCreated(record, `${who} tells`);
    const acted = this.#acted.get(version);
    const content = contentOf(record);
    if (acted !== undefined && acted.content !== content) {
      // Harmless where the teller is fenced; who takes it is caught when acting on it.
      return;
    }
    addTo(this.#told, version, content);
  }

  /** What this engine alone has acted on binds nobody from now on, unless a peer hears of it. */
  countOut(incarnation: string): void {
    this.#countedOut.add(incarnation);
    for (const [version, { actors }] of this.#acted) {
      if (!actors.delete(incarnation) || actors.size > 0) continue;
      this.#acted.delete(version);
      // It was announced since this engine had taken it.
      this.#announced.delete(version);
    }
    for (const [version, { witness }] of this.#announced) {
      if (witness === incarnation && !this.#acted.has(version)) this.#announced.delete(version);
    }
    this.newestActed = this.#newestCommitted();
  }

  /**
   * Its process has ended. A void that it had from a peer, and that nobody else has acted on, ends with it: who may
   * know of it is dead as well. Of a commit it had everybody's vote, so that one binds for ever.
   * @param isKept whether an agent's disk has the version's outcome for it
   */
  ended(incarnation: string, isKept: (version: number) => boolean): void {
    for (const [version, { content, actors }] of this.#acted) {
      if (content !== 'void' || isKept(version) || !actors.delete(incarnation)) continue;
      if (actors.size > 0) continue;
      this.#acted.delete(version);
      this.#announced.delete(version);
    }
  }

  #newestCommitted(): CommittedRecord | null {
    let newest: CommittedRecord | null = null;
    for (const { record } of this.#acted.values()) {
      if (record.outcome === 'committed' && record.version > (newest?.version ?? 0))
        newest = record;
    }
    return newest;
  }

  /** It is dead: what it alone has acted on binds nobody any more. */
  outlive(incarnation: string): void {
    if (this.#countedOut.has(incarnation)) return;
    this.countOut(incarnation);
    this.countIn(incarnation);
  }

  /** It is gone, or what it does counts again. */
  countIn(incarnation: string): void {
    this.#countedOut.delete(incarnation);
  }

  isCountedOut(incarnation: string): boolean {
    return this.#countedOut.has(incarnation);
  }

  /**
   * A rank keeps an outcome durably, or its engine follows it.
   * @param incarnation of the engine that does, or for which its agent does
   */
  acted(record: MapRecord, who: string, incarnation: string): void {
    const { version } = record;
    const content = contentOf(record);
    const acted = this.#acted.get(version);
    if (this.#countedOut.has(incarnation)) return;
    if (acted !== undefined) {
      acted.actors.add(incarnation);
      if (acted.content === content) return;
      throw new RuleViolation(
        'S1',
        `${who} acts on version ${version} as ${brief(content)}, ${acted.who} as ${brief(acted.content)}`,
      );
    }
    this.#mustBeCreated(record, `${who} acts on`);
    if (!this.#told.get(version)?.has(content)) {
      throw new RuleViolation(
        'S6',
        `${who} acts on version ${version}, of which no leader has told an outcome`,
      );
    }
    this.#mustAgree(this.#announced, version, content, who);
    this.#acted.set(version, { record, content, who, actors: new Set([incarnation]) });
    if (record.outcome === 'committed' && version > (this.newestActed?.version ?? 0)) {
      this.newestActed = record;
    }
  }

  /**
   * The leader reports a version as decided, to operators and the audit trail.
   * @param witness incarnation of the engine whose report has made it final
   */
  announced(record: MapRecord, who: string, witness: string | null): void {
    const { version } = record;
    const content = contentOf(record);
    this.#mustAgree(this.#acted, version, content, who);
    this.#mustAgree(this.#announced, version, content, who);
    this.#announced.set(version, { content, who, witness });
  }

  #mustAgree(
    known: ReadonlyMap<number, { readonly content: string; readonly who: string }>,
    version: number,
    content: string,
    who: string,
  ): void {
    const other = known.get(version);
    if (other === undefined || other.content === content) return;
    throw new RuleViolation(
      'S1',
      `version ${version} is ${brief(content)} for ${who}, ${brief(other.content)} for ${other.who}`,
    );
  }

  #mustBeCreated(record: MapRecord, what: string): void {
    if (this.#created.get(record.version)?.has(contentOf(record))) return;
    throw new RuleViolation(
      'S2',
      `${what} version ${record.version} as ${brief(contentOf(record))}, which was never created`,
    );
  }

  isActed(record: MapRecord): boolean {
    return this.#acted.get(record.version)?.content === contentOf(record);
  }
}

function addTo(sets: Map<number, Set<string>>, version: number, content: string): void {
  const set = sets.get(version);
  if (set === undefined) sets.set(version, new Set([content]));
  else set.add(content);
}

function brief(content: string): string {
  return content === 'void' ? 'void' : `committed ${content.slice(0, 8)}`;
}

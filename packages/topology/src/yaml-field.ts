import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import { TopologyError } from './topology-error.js';
import { TOPOLOGY_LIMITS } from './topology-spec.js';

interface YamlSource {
  readonly name: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

/** A value in a YAML text: it knows its path and place, and each reading checks the kind. */
export class YamlField {
  readonly path: string;
  readonly #source: YamlSource;
  readonly #node: Node | undefined;
  readonly #offset: number;

  private constructor(source: YamlSource, path: string, node: unknown, offset: number) {
    this.#source = source;
    this.path = path;
    const written = node as Node | null | undefined;
    this.#offset = written?.range?.[0] ?? offset;
    if (!isAlias(written)) {
      this.#node = written ?? undefined;
      return;
    }
    this.#node = written.resolve(source.document);
    if (this.#node === undefined) this.refuse(`no anchor ${written.source} stands before it`);
  }

  /**
   * The root of a text.
   * @throws TopologyError ISOBAR_TOPOLOGY_SYNTAX naming line and column
   */
  static parse(text: string, name: string): YamlField {
    if (text.length > TOPOLOGY_LIMITS.textLength) {
      throw syntax(name, `is longer than ${TOPOLOGY_LIMITS.textLength} characters`);
    }
    const lines = new LineCounter();
    const document = parseText(text, name, lines);
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) {
      const { line, col } = lines.linePos(problem.pos[0]);
      throw syntax(name, problem.message, { line, column: col, cause: problem });
    }
    assertFewAliases(document, name);
    return new YamlField({ name, document, lines }, '', document.contents, 0);
  }

  /** @throws always, TopologyError ISOBAR_TOPOLOGY_INVALID naming path, line and column */
  refuse(what: string, fields: Readonly<Record<string, unknown>> = {}): never {
    const { line, col: column } = this.#source.lines.linePos(this.#offset);
    const { name } = this.#source;
    const field = this.path;
    throw new TopologyError(
      'ISOBAR_TOPOLOGY_INVALID',
      `${name}:${line}:${column}: ${field === '' ? '' : `${field}: `}${what}`,
      { source: name, line, column, field, ...fields },
    );
  }

  get isMap(): boolean {
    return isMap(this.#node);
  }

  get isList(): boolean {
    return isSeq(this.#node);
  }

  /** Values of a map by key. */
  entries(): Map<string, YamlField> {
    const node = this.#node;
    if (!isMap(node)) return this.refuse('must be a map');
    const fields = new Map<string, YamlField>();
    for (const { key, value } of node.items) {
      const written = key as Node;
      const name = isScalar(written) ? String(written.value) : '';
      const path = this.path === '' ? name : `${this.path}.${name}`;
      const field = new YamlField(this.#source, path, value, written.range?.[0] ?? this.#offset);
      fields.set(name, field);
    }
    return fields;
  }

  /** Values of a map that may have these keys and no others. */
  entriesOf(keys: readonly string[]): Map<string, YamlField> {
    const fields = this.entries();
    for (const [key, field] of fields) {
      if (!keys.includes(key)) field.refuse(`is not known here: ${keys.join(', ')} are`);
    }
    return fields;
  }

  items(): YamlField[] {
    const node = this.#node;
    if (!isSeq(node)) return this.refuse('must be a list');
    return node.items.map(
      (item, index) => new YamlField(this.#source, `${this.path}[${index}]`, item, this.#offset),
    );
  }

  /** A string, or undefined where it is another kind of value. */
  get string(): string | undefined {
    return isScalar(this.#node) && typeof this.#node.value === 'string'
      ? this.#node.value
      : undefined;
  }

  /** A number, or undefined where it is another kind of value. */
  get number(): number | undefined {
    return isScalar(this.#node) && typeof this.#node.value === 'number'
      ? this.#node.value
      : undefined;
  }

  boolean(): boolean {
    if (isScalar(this.#node) && typeof this.#node.value === 'boolean') return this.#node.value;
    return this.refuse('must be true or false');
  }
}

function parseText(text: string, name: string, lines: LineCounter): Document {
  try {
    return parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  } catch (cause) {
    // Nesting some thousand deep is more than the parser's stack holds.
    throw syntax(name, 'is too deep to parse', { cause });
  }
}

function assertFewAliases(document: Document, name: string): void {
  let aliases = 0;
  visit(document, {
    Alias: () => {
      aliases += 1;
    },
  });
  if (aliases > TOPOLOGY_LIMITS.aliases) {
    throw syntax(name, `has ${aliases} aliases, more than ${TOPOLOGY_LIMITS.aliases}`);
  }
}

function syntax(
  name: string,
  what: string,
  at: { readonly line?: number; readonly column?: number; readonly cause?: unknown } = {},
): TopologyError {
  const { line, column, cause } = at;
  const place = line === undefined ? name : `${name}:${line}:${column}`;
  return new TopologyError(
    'ISOBAR_TOPOLOGY_SYNTAX',
    `${place}: ${what}`,
    { source: name, ...(line === undefined ? {} : { line, column }) },
    cause === undefined ? {} : { cause },
  );
}

import { Topology } from '@isobar/topology';
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { readInlineTopology } from './inline-topology.js';
import { suggestion } from './nearest-name.js';
import {
  findOption,
  type NamedOption,
  type OptionGroup,
  optionGroups,
  options,
} from './options.js';
import type { Problem } from './problem.js';

/** Characters of a file. */
export const textLengthMax = 2 ** 20;

export interface Given {
  readonly value: unknown;
  readonly line: number;
  readonly column: number;
}

/** What a file says, and what is wrong with it. */
export interface FileValues {
  readonly given: ReadonlyMap<string, Given>;
  readonly problems: readonly Problem[];
}

/** @param file what problems call the text */
export function readFileValues(text: string, file: string): FileValues {
  return new FileReader(text, file).read();
}

class FileReader {
  readonly #text: string;
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #given = new Map<string, Given>();
  readonly #problems: Problem[] = [];

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  read(): FileValues {
    const root = this.#parse();
    if (root !== null) this.#readGroup(root, '');
    return { given: this.#given, problems: this.#problems };
  }

  #refuse(offset: number | null, field: string, what: string): void {
    const { line, col: column } =
      offset === null ? { line: null, col: null } : this.#lines.linePos(offset);
    this.#problems.push({ file: this.#file, line, column, field, variable: null, what });
  }

  /** Null where nothing of it can be read. */
  #parse(): YAMLMap | null {
    if (this.#text.length > textLengthMax) {
      this.#refuse(null, '', `is longer than ${textLengthMax} characters`);
      return null;
    }
    const root = this.#parseText();
    if (root === null || this.#problems.length > 0) return null;
    if (isMap(root)) return root;
    this.#refuse(root.range?.[0] ?? 0, '', 'must be a map of options');
    return null;
  }

  #parseText(): Node | null {
    try {
      const settings = { lineCounter: this.#lines, prettyErrors: false, stringKeys: true };
      const document = parseDocument(this.#text, settings);
      for (const { pos, message } of [...document.errors, ...document.warnings]) {
        this.#refuse(pos[0], '', `is no YAML: ${message}`);
      }
      if (document.contents === null) this.#refuse(0, '', 'is empty');
      return document.contents;
    } catch (error) {
      // Nesting some thousand deep is more than the parser's stack holds.
      if (!(error instanceof RangeError)) throw error;
      this.#refuse(null, '', 'is too deep to parse');
      return null;
    }
  }

  #readGroup(map: YAMLMap, group: OptionGroup): void {
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      const key = isScalar(pair.key) ? String(pair.key.value) : '';
      const at = pair.key.range?.[0] ?? 0;
      const inner = optionGroups.find((name) => group === '' && name === key);
      const option = findOption(group === '' ? key : `${group}.${key}`);
      if (inner !== undefined) this.#readInner(pair.value, inner, at);
      else if (option !== undefined) this.#readOption(pair.value, option, at);
      else this.#refuseUnknown(group, key, at);
    }
  }

  #readInner(node: Node | null, group: OptionGroup, keyAt: number): void {
    if (isMap(node)) this.#readGroup(node, group);
    // A name with nothing below it is a group with nothing in it.
    else if (!isScalar(node) || node.value !== null) {
      this.#refuse(node?.range?.[0] ?? keyAt, group, 'must be a map of options');
    }
  }

  #refuseUnknown(group: OptionGroup, key: string, at: number): void {
    const here = options.filter((option) => option.group === group).map((option) => option.key);
    const near = suggestion(key, group === '' ? [...here, ...optionGroups] : here);
    const elsewhere = options.find((option) => option.key.toLowerCase() === key.toLowerCase());
    const moved = elsewhere === undefined ? '' : `; did you mean ${elsewhere.name}?`;
    const name = group === '' ? key : `${group}.${key}`;
    this.#refuse(at, name, `is no option${near === '' ? moved : near}`);
  }

  #readOption(node: Node | null, option: NamedOption, keyAt: number): void {
    const at = node?.range?.[0] ?? keyAt;
    const { line, col: column } = this.#lines.linePos(at);
    if (option.isMapAllowed === true && isMap(node)) {
      const topology = this.#readTopology(node, option);
      if (topology !== null) this.#given.set(option.name, { value: topology, line, column });
      return;
    }
    const parsed = isAlias(node)
      ? { success: false as const }
      : option.schema.safeParse(plainOf(node));
    if (parsed.success) this.#given.set(option.name, { value: parsed.data, line, column });
    else this.#refuse(at, option.name, `must be ${option.expected}`);
  }

  #readTopology(node: YAMLMap, { name }: NamedOption): Topology | null {
    const [start, , end] = node.range ?? [0, 0, 0];
    const read = readInlineTopology(this.#text, this.#file, start, end);
    if (read instanceof Topology) return read;
    const { line, column, field, what } = read;
    const inner = field === '' ? name : `${name}.${field}`;
    this.#problems.push({ file: this.#file, line, column, field: inner, variable: null, what });
    return null;
  }
}

/** A scalar or a list of scalars as it is written; undefined of anything else. */
function plainOf(node: Node | null): unknown {
  if (node === null) return null;
  if (isScalar(node)) return node.value;
  return isSeq(node)
    ? node.items.map((item) => (isScalar(item) ? item.value : undefined))
    : undefined;
}

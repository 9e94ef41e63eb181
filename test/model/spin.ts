import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetchDebianPackage, findExecutable } from '@isobar/testing';

const run = promisify(execFile);

export const modelPath: string = fileURLToPath(new URL('swap.pml', import.meta.url));

export interface SpinTools {
  readonly spin: string;
  readonly compiler: string;
}

/** Spin (SPIN, PATH, the project's cache, Debian's package) and a C compiler, or what is missing. */
export async function locateSpinTools(): Promise<SpinTools | { readonly missing: string }> {
  const compiler = process.env.CC || 'cc';
  try {
    await run(compiler, ['--version']);
  } catch {
    return { missing: `no C compiler: ${compiler} does not run` };
  }
  const named = process.env.SPIN;
  if (named) {
    return existsSync(named) ? { spin: named, compiler } : { missing: `no spin at SPIN=${named}` };
  }
  const executable = { name: 'spin', folder: 'usr/bin' };
  const found = findExecutable(executable, process.env.PATH ?? '');
  if (found !== null) return { spin: found, compiler };
  try {
    return { spin: await fetchDebianPackage(executable), compiler };
  } catch {
    return { missing: 'no spin on PATH or in SPIN, and apt-get could not fetch one' };
  }
}

export interface Search {
  /** Of the model, as the preprocessor takes them: `LEADERSHIPS=3`, `MUTATION_SKIP_FENCE`. */
  readonly definitions: readonly string[];
  /** Goes on after a violation for the one after the fewest steps. */
  readonly shortest: boolean;
}

export interface SearchResult {
  readonly numStates: number;
  readonly numErrors: number;
  /** Every reachable state has been seen: cut by no depth, memory or error. */
  readonly complete: boolean;
  /** The last violation found, under `shortest` the shortest; null for none. */
  readonly violation: { readonly assertion: string; readonly depth: number } | null;
  readonly memoryMb: number;
  readonly seconds: number;
  /** What happened, step by step, up to the violation in the trail; empty for none. */
  readonly story: readonly string[];
}

const depthMax = 100_000;
const memoryMaxMb = 2_048;
const outputMaxBytes = 1 << 26;

/** Searches the model in a folder of its own, which is removed. */
export async function searchModel(tools: SpinTools, search: Search): Promise<SearchResult> {
  const cwd = await mkdtemp(join(tmpdir(), 'isobar-model-'));
  const definitions = search.definitions.map((each) => `-D${each}`);
  try {
    await run(tools.spin, [...definitions, '-a', modelPath], { cwd });
    const options = [search.shortest ? '-O1' : '-O2', '-DSAFETY', '-DCOLLAPSE'];
    const limits = [`-DMEMLIM=${memoryMaxMb}`, ...(search.shortest ? ['-DREACH'] : [])];
    await run(tools.compiler, [...options, ...limits, '-o', 'pan', 'pan.c'], { cwd });
    const mode = search.shortest ? ['-i'] : [];
    const { stdout } = await run('./pan', [`-m${depthMax}`, '-w22', ...mode], {
      cwd,
      maxBuffer: outputMaxBytes,
    });
    const result = readOutput(stdout);
    return result.violation === null
      ? { ...result, story: [] }
      : { ...result, story: await tellStory(tools, definitions, cwd) };
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

/** Replays the trail that pan has left; the model prints each of its steps. */
async function tellStory(
  tools: SpinTools,
  definitions: readonly string[],
  cwd: string,
): Promise<string[]> {
  const replay = [...definitions, '-t', '-T', '-k', join(cwd, 'swap.pml.trail'), modelPath];
  const { stdout } = await run(tools.spin, replay, { cwd, maxBuffer: outputMaxBytes });
  const lines = stdout.split('\n');
  return lines.slice(
    0,
    lines.findIndex((line) => line.startsWith('spin: trail ends')),
  );
}

function readOutput(output: string): Omit<SearchResult, 'story'> {
  const numberAfter = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const violations = [
    ...output.matchAll(/^pan:\d+: assertion violated (.*) \(at depth (\d+)\)$/gm),
  ];
  const last = violations.at(-1);
  return {
    numStates: numberAfter(/^\s*(\S+) states, stored/m),
    numErrors: numberAfter(/ errors: (\d+)/),
    complete:
      !output.includes('max search depth too small') && !output.includes('Search not completed'),
    violation:
      last === undefined
        ? null
        : { assertion: last[1] ?? '', depth: Number(last[2] ?? Number.NaN) },
    memoryMb: numberAfter(/^\s*([\d.]+)\s+total actual memory usage/m),
    seconds: numberAfter(/elapsed time ([\d.e+-]+) seconds/),
  };
}

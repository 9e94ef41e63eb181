import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bodyKindOf, bytesSchema, decodeValue, encode } from '@isobar/protocol';
import { DurableStateFile, ProcessWitness } from '@isobar/rank-agent';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { messageKinds, stateFileKind } from './message-kinds.js';
import { previousRelease } from './previous-release.js';
import { readRecording } from './recording.js';

const recording = await readRecording();

/** As it was sent, with no schema held against it. */
function sent(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return {};
  return bodyKindOf(bytes) === 'json'
    ? JSON.parse(new TextDecoder().decode(bytes))
    : decodeValue('recorded', bytes);
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** Paths of what was sent, and is gone or another once this release has read it. */
function lost(before: unknown, after: unknown, path = ''): string[] {
  if (Array.isArray(before) && Array.isArray(after)) {
    const inner = before.flatMap((each, index) => lost(each, after[index], `${path}[${index}]`));
    return before.length === after.length ? inner : [path, ...inner];
  }
  if (isMap(before) && isMap(after)) {
    return Object.entries(before).flatMap(([key, value]) =>
      lost(value, after[key], `${path}.${key}`),
    );
  }
  return Buffer.compare(encode(before), encode(after ?? null)) === 0 ? [] : [path];
}

describe(`what ${previousRelease.version} has sent`, () => {
  it('is on record, of every kind', () => {
    const recorded = new Set(recording.map(({ kind }) => kind));
    expect([...recorded].sort()).toEqual(messageKinds.map(({ name }) => name).sort());
  });

  it.each(messageKinds)('is read without loss: $name', ({ name, schema }) => {
    for (const { bytes } of recording.filter(({ kind }) => kind === name)) {
      const before = sent(Buffer.from(bytes, 'base64'));
      expect(lost(before, schema.parse(before))).toEqual([]);
    }
  });

  it('is a file that an agent of this release goes on with', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-compatibility-'));
    try {
      const recorded = recording.find(({ kind }) => kind === stateFileKind);
      const bytes = Buffer.from(recorded?.bytes ?? '', 'base64');
      await writeFile(join(directory, 'demo-0.state'), bytes);
      const witness = new ProcessWitness();
      const file = await DurableStateFile.open({ directory, deployment: 'demo', rank: 0, witness });
      const state = await file.load();
      await file.close();
      expect(state.votedUpTo).toBeGreaterThan(1);
      expect(state.outcomes.length).toBeGreaterThan(0);
      const { content } = z.object({ content: bytesSchema }).parse(decodeValue('file', bytes));
      expect(lost(decodeValue('state', content), state)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('would be missed where a field got another name', () => {
    expect(lost({ a: 1, b: [{ c: 2 }] }, { a: 1, b: [{ d: 2 }] })).toEqual(['.b[0].c']);
    expect(lost({ a: [1, 2] }, { a: [1] })).toEqual(['.a', '.a[1]']);
    expect(lost({ a: Int32Array.of(1) }, { a: Int32Array.of(2) })).toEqual(['.a']);
  });
});

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  encodeFrame,
  engineCommandSchema,
  engineMessageSchema,
  portVersions,
} from '@isobar/engine';
import { ExpertMapping } from '@isobar/eplb';
import {
  encode,
  engineDescriptionSchema,
  engineStateSchema,
  loadSampleSchema,
  mapRecordSchema,
  openVoteSchema,
  proposalSchema,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}/docs/engine-port.md`, 'utf8');

/** Hexadecimal blocks of the page, in their order. */
const examples = [...page.matchAll(/```\n([0-9a-f\n]+)```/g)].map(([, hex]) =>
  hex?.replaceAll('\n', ''),
);

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('docs/engine-port.md', () => {
  it('gives examples as they are on the wire', () => {
    const greeting = {
      schema: 1,
      kind: 'greeting',
      deployment: 'east',
      rank: 3,
      agent: '0123456789abcdef',
      portVersions,
    };
    const mapping = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 2,
      slotOffsets: Int32Array.of(0, 2, 3),
      physicalToLogical: Int32Array.of(0, 1, -1),
    });
    expect(examples).toEqual([
      hexOf(encode(Int32Array.of(0, -1, 258))),
      hexOf(encodeFrame(encode(greeting))),
      mapping.digest(),
    ]);
  });

  it.each([
    ['description', Object.keys(engineDescriptionSchema.shape)],
    ['state', Object.keys(engineStateSchema.shape)],
    ['vote', Object.keys(openVoteSchema.shape)],
    ['sample', Object.keys(loadSampleSchema.shape)],
    ['proposal', Object.keys(proposalSchema.shape)],
    ['record', mapRecordSchema.options.flatMap(({ shape }) => Object.keys(shape))],
    ['command', engineCommandSchema.options.flatMap(({ shape }) => Object.keys(shape))],
    ['message', engineMessageSchema.options.flatMap(({ shape }) => Object.keys(shape))],
    [
      'kinds of command',
      engineCommandSchema.options.flatMap(({ shape }) => [...shape.kind.values]),
    ],
    [
      'kinds of message',
      engineMessageSchema.options.flatMap(({ shape }) => [...shape.kind.values]),
    ],
  ])('names all there is in a %s', (_, names) => {
    const words = new Set(page.match(/[A-Za-z]+/g));
    expect(names.filter((name) => !words.has(name))).toEqual([]);
  });
});

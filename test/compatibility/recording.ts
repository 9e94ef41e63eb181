import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Recorded, recordedSchema } from './message-kinds.js';
import { previousRelease } from './previous-release.js';

/** What processes of the previous release sent: a JSON line for each message. */
export const recordingPath = fileURLToPath(
  new URL(`messages-${previousRelease.version}.jsonl`, import.meta.url),
);

export async function readRecording(): Promise<Recorded[]> {
  const lines = (await readFile(recordingPath, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => recordedSchema.parse(JSON.parse(line)));
}

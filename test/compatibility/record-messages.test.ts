import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encode, subjectsOf } from '@isobar/protocol';
import { connect, type Msg, type NatsConnection } from 'nats';
import { describe, expect, it } from 'vitest';
import { SmallCluster } from '../e2e/small-cluster.js';
import { messageKinds, type Recorded, recordedCommands } from './message-kinds.js';
import { buildPreviousRelease, previousRelease } from './previous-release.js';
import { recordingPath } from './recording.js';

/*
 * Writes down what processes of the previous release send, once, when that becomes another one:
 * ISOBAR_RECORD_MESSAGES=1 npx vitest run --project compatibility record
 */

/** Of a kind; they differ in what is optional. */
const samplesOfKind = 3;

class Recording {
  readonly lines: Recorded[] = [];
  readonly #asked = new Map<string, string>();

  take({ subject, reply, data }: Pick<Msg, 'subject' | 'reply' | 'data'>): void {
    if (reply !== undefined && reply !== '') this.#asked.set(reply, subject);
    const asked = this.#asked.get(subject);
    const kind = messageKinds.find(
      (each) => each.isReply === (asked !== undefined) && each.subject.test(asked ?? subject),
    );
    // A reply without a body refuses.
    if (kind === undefined || (kind.isReply && data.byteLength === 0)) return;
    const bytes = Buffer.from(data).toString('base64');
    const earlier = this.lines.filter((line) => line.kind === kind.name);
    // The last one is the newest: what is optional comes with time.
    const replaced = earlier.length < samplesOfKind ? undefined : earlier.at(-1);
    const line = { kind: kind.name, subject, bytes };
    if (replaced === undefined) this.lines.push(line);
    else this.lines.splice(this.lines.indexOf(replaced), 1, line);
  }

  get missing(): string[] {
    const seen = new Set(this.lines.map(({ kind }) => kind));
    return messageKinds.map(({ name }) => name).filter((name) => !seen.has(name));
  }
}

const questions: Readonly<Record<(typeof recordedCommands)[number], object>> = {
  status: {},
  plan: {},
  history: { last: 5 },
  explain: { version: 2 },
  parameters: {},
  export: {},
  pause: {},
  resume: {},
  drain: { rank: 3, waitMs: 30_000 },
  undrain: { rank: 3, waitMs: 30_000 },
};

/** What makes processes say everything that they have to say. */
async function goThroughAll(small: SmallCluster, client: NatsConnection): Promise<void> {
  const { cluster } = small;
  const subjects = subjectsOf('demo');
  const ask = (subject: string, body: Uint8Array) =>
    client.request(subject, body, { timeout: 60_000 });
  await small.committed(2);
  for (const name of recordedCommands) {
    const body = new TextEncoder().encode(JSON.stringify(questions[name]));
    await ask(`${subjects.commandPrefix}.${name}`, body);
  }
  // As an agent asks that has missed some.
  await ask(subjects.leader('outcomes'), encode({ schema: 1, rank: 2, since: 0 }));
  expect(await cluster.process('engine-1').stop(60_000)).toBe(0);
  const { leader } = await small.status();
  expect(await cluster.process('coordinator-0').stop(60_000)).toBe(0);
  await cluster.restart('coordinator-0');
  await small.ledUnder(leader.term + 1);
}

describe.skipIf(process.env.ISOBAR_RECORD_MESSAGES === undefined)('a recording', () => {
  it(`is made of ${previousRelease.version}`, async () => {
    const { scripts } = await buildPreviousRelease();
    const small = await SmallCluster.start({
      scripts,
      agent: { leaveOnStop: true, reportIntervalMs: 200 },
      engineOfRank: (rank) => ({ leaveOnStop: rank === 1 }),
    });
    const recording = new Recording();
    const listener = await connect({ servers: small.cluster.natsUrl });
    try {
      listener.subscribe('>', {
        callback: (error, message) => {
          if (error === null) recording.take(message);
        },
      });
      await listener.flush();
      await goThroughAll(small, listener);
      const path = join(small.cluster.directory, 'agents', 'demo-0.state');
      recording.take({ subject: 'file', reply: '', data: await readFile(path) });
      await listener.flush();
      expect(recording.missing).toEqual([]);
    } finally {
      await listener.close();
      await small.close();
    }
    const lines = recording.lines.sort((a, b) => a.kind.localeCompare(b.kind));
    await writeFile(recordingPath, `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
  });
});

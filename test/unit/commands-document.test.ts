import { fileURLToPath } from 'node:url';
import { commandNames, commandSchemas, commands, encodeBody, readQuestion } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { commandsDocument } from './commands-document.js';

const path = fileURLToPath(new URL('../../docs/COMMANDS.md', import.meta.url));

describe('docs/COMMANDS.md', () => {
  it('tells of every command what its table does; npx vitest run test/unit -u writes it', async () => {
    await expect(commandsDocument()).toMatchFileSnapshot(path);
  });
});

describe.each(commandNames)('the command %s', (name) => {
  it('takes its own example, in JSON and in MessagePack alike', () => {
    const { example } = commands[name];
    const read = readQuestion(name, encodeBody(example, 'json'));
    expect(read).toMatchObject(example);
    expect(readQuestion(name, encodeBody(example, 'message-pack'))).toEqual(read);
  });

  it('has schemas of question and answer, with nothing that they can not say', () => {
    const { question, answer } = commandSchemas(name);
    expect(question).toMatchObject({ type: 'object', additionalProperties: false });
    expect(answer).toMatchObject({ type: 'object' });
    const told = JSON.stringify([question, answer]).replaceAll('"additionalProperties":{}', '');
    expect(told.replaceAll('"properties":{}', '')).not.toContain('{}');
  });

  it('refuses what is no question of its, naming the field', () => {
    const code = 'ISOBAR_COORDINATOR_COMMAND_MALFORMED';
    const text = new TextEncoder();
    for (const body of ['[', '[]', '7', '"x"', 'null', '{"other":1}']) {
      expect(() => readQuestion(name, text.encode(body))).toThrow(
        expect.objectContaining({ code }),
      );
    }
    for (const bytes of [
      [0xc1],
      [0x81],
      [0xde, 0xff, 0xff],
      [0xff],
      [0xdd, 0xff, 0xff, 0xff, 0xff],
    ]) {
      const body = Uint8Array.from(bytes);
      expect(() => readQuestion(name, body)).toThrow(expect.objectContaining({ code }));
    }
    const { questionBytesMax = 65_536 } = commands[name] as { questionBytesMax?: number };
    const long = new Uint8Array(questionBytesMax + 1).fill(0x20);
    expect(() => readQuestion(name, long)).toThrow('at most');
  });
});

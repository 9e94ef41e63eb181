import { open } from 'node:fs/promises';

/**
 * A file's text, of which no more is read than shows that it has over `charactersMax`.
 * @throws whatever the file system says
 */
export async function readBoundedText(path: string, charactersMax: number): Promise<string> {
  // A character is at most 4 bytes; one byte more shows that there is more.
  const end = charactersMax * 4;
  const handle = await open(path, 'r');
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of handle.createReadStream({ end, autoClose: false })) {
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks).toString('utf8');
  } finally {
    await handle.close();
  }
}

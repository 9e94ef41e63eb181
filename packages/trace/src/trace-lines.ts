import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { TraceError } from './trace-error.js';
import { TRACE_LIMITS } from './trace-format.js';

export interface TraceLimits {
  readonly fileBytes: number;
  readonly lineBytes: number;
}

const NEWLINE = 0x0a;

/**
 * Lines of a file, gunzipped where it begins with gzip's magic bytes; empty lines are skipped
 * but counted.
 * @throws TraceError ISOBAR_TRACE_UNREADABLE, or ISOBAR_TRACE_SIZES past a limit
 */
export async function* readLines(
  path: string,
  limits: TraceLimits = TRACE_LIMITS,
): AsyncGenerator<{ readonly line: number; readonly text: string }> {
  let line = 0;
  for await (const bytes of splitLines(readBytes(path), path, limits)) {
    line += 1;
    const text = bytes.toString('utf8').trim();
    if (text !== '') yield { line, text };
  }
}

async function* readBytes(path: string): AsyncGenerator<Buffer> {
  try {
    const stream = (await isGzip(path)) ? gunzipped(path) : createReadStream(path);
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TraceError(
      'ISOBAR_TRACE_UNREADABLE',
      `${path}: can't be read: ${why}`,
      { file: path },
      { cause },
    );
  }
}

async function isGzip(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const magic = Buffer.alloc(2);
    await handle.read(magic, 0, 2, 0);
    return magic[0] === 0x1f && magic[1] === 0x8b;
  } finally {
    await handle.close();
  }
}

function gunzipped(path: string): Readable {
  const gunzip = createGunzip();
  // A failure of either stream destroys the gunzip stream, and its reader throws it.
  pipeline(createReadStream(path), gunzip, () => undefined);
  return gunzip;
}

async function* splitLines(
  chunks: AsyncIterable<Buffer>,
  path: string,
  limits: TraceLimits,
): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let fileBytes = 0;
  for await (const chunk of chunks) {
    fileBytes += chunk.length;
    if (fileBytes > limits.fileBytes) throw tooLarge(path, 'file', limits.fileBytes);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      pending.push(chunk.subarray(start, end));
      yield Buffer.concat(pending);
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
    pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > limits.lineBytes) throw tooLarge(path, 'line', limits.lineBytes);
  }
  if (pendingBytes > 0) yield Buffer.concat(pending);
}

function tooLarge(path: string, field: string, limitBytes: number): TraceError {
  return new TraceError(
    'ISOBAR_TRACE_SIZES',
    `${path}: ${field} is longer than ${limitBytes} bytes, uncompressed`,
    { file: path, field, limitBytes },
  );
}

import { IsobarError } from '@isobar/protocol';

/** Where an engine listens: a Unix socket, or TCP on request. */
export type EngineAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number };

/** Longest path that a Unix socket can have on Linux and macOS. */
const socketPathBytesMax = 103;

/**
 * Reads `unix:/run/engine-0.sock` or `tcp://127.0.0.1:7400`.
 * @throws IsobarError ISOBAR_ENGINE_ADDRESS
 */
export function parseEngineAddress(text: string): EngineAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '') throw refuse(text, 'names no path');
    if (Buffer.byteLength(path) > socketPathBytesMax) {
      throw refuse(text, `has a path of more than ${socketPathBytesMax} bytes`);
    }
    return { path };
  }
  const match = /^tcp:\/\/(\[[0-9a-fA-F:.]+\]|[^:/]+):(\d{1,5})$/.exec(text);
  const host = match?.[1]?.replaceAll(/[[\]]/g, '');
  const port = Number(match?.[2]);
  if (host === undefined || port > 65_535)
    throw refuse(text, 'is neither unix:PATH nor tcp://HOST:PORT');
  return { host, port };
}

export function formatEngineAddress(address: EngineAddress): string {
  if ('path' in address) return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `tcp://${host}:${address.port}`;
}

function refuse(address: string, why: string): IsobarError {
  return new IsobarError('ISOBAR_ENGINE_ADDRESS', `engine address ${address} ${why}`, { address });
}

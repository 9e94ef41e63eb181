import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Machines } from '../machines.js';
import type { TextEdit } from './deliberate-fault.js';

const built = dirname(fileURLToPath(import.meta.resolve('@isobar/protocol')));
/** Beside the package, so that its own imports resolve; ignored by git. */
const copies = join(built, '..', '.cache', 'deliberate-faults');

/**
 * The machines with a fault: a copy of the built package, edited, and imported from there.
 * @param name of the copy, one to a fault: a module once imported stays as it was
 * @throws Error where a text to replace is not found exactly once
 */
export async function loadFaultyMachines(
  name: string,
  edits: readonly TextEdit[],
): Promise<Machines> {
  const folder = join(copies, name.replaceAll(/[^a-z0-9]+/g, '-'));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(built, folder, {
    recursive: true,
    filter: (path) => !/\.(map|d\.ts|tsbuildinfo)$/.test(path),
  });
  for (const edit of edits) applyEdit(folder, edit);
  return import(pathToFileURL(join(folder, 'index.js')).href);
}

function applyEdit(folder: string, { file, find, replace }: TextEdit): void {
  const path = join(folder, file);
  const text = readFileSync(path, 'utf8');
  const places = text.split(find).length - 1;
  if (places !== 1) {
    throw new Error(`${file} has ${places} places of the text to replace, not one: ${find}`);
  }
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
}

// The licence texts of the packages of others in a bundle, in one file.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const rule = `\n${'-'.repeat(80)}\n\n`;

/** @param components as `materials` finds them */
export async function licenceTexts(components) {
  const texts = await Promise.all(components.map(licenceText));
  return `This software contains the following packages.\n${rule}${texts.join(rule)}`;
}

async function licenceText({ folder, name, version, license }) {
  const files = (await readdir(folder)).filter((file) =>
    /^(?:licen[cs]e|notice|copying)/i.test(file),
  );
  const texts = await Promise.all(files.sort().map((file) => readFile(join(folder, file), 'utf8')));
  const body = texts.map((text) => `\n${text.replaceAll('\r\n', '\n').trim()}\n`).join('');
  return `${name} ${version} (${license})\n${body}`;
}

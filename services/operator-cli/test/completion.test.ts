import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completionScript, type Shell, shells } from '../src/completion/completion-command.js';
import { addDemo } from '../src/demo/demo-command.js';
import { createProgram } from '../src/program.js';

const run = promisify(execFile);
const program = createProgram([addDemo]);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-completion-'));
  for (const shell of shells)
    await writeFile(join(folder, shell), completionScript(program, shell));
  await mkdir(join(folder, 'nats', 'context'), { recursive: true });
  await writeFile(join(folder, 'nats', 'context', 'alice.json'), '{}');
  await writeFile(join(folder, 'mapping.json'), '{}');
});
afterAll(() => rm(folder, { recursive: true }));

function isInstalled(shell: Shell): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((path) => existsSync(join(path, shell)));
}

/** What bash offers for the last of the words. */
async function offered(...words: string[]): Promise<string[]> {
  const script = `source "$1"; shift; COMP_WORDS=(isobar "$@"); COMP_CWORD=$#
    _isobar; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '-c', script, 'bash', join(folder, 'bash'), ...words];
  const env = { ...process.env, XDG_CONFIG_HOME: folder };
  const { stdout, stderr } = await run('bash', args, { cwd: folder, env });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((word) => word !== '');
}

describe('completion', () => {
  it.each(shells)('in %s names every command and option', (shell) => {
    const script = completionScript(program, shell);
    for (const word of ['declare-dead', 'auth init', 'request-id', 'locality-aware', 'sglang']) {
      expect(script).toContain(word);
    }
  });

  for (const shell of shells) {
    it.skipIf(!isInstalled(shell))(`is a script that ${shell} reads`, async () => {
      await run(shell, ['-n', join(folder, shell)]);
    });
  }
});

describe.skipIf(!isInstalled('bash'))('in bash', () => {
  it.each<[string[], string[]]>([
    [['dr'], ['drain']],
    [['--json', 'roll'], ['rollback']],
    [
      ['--timeout', '5s', 'mode', ''],
      ['observe', 'approve', 'automatic'],
    ],
    [
      ['mode', 'a'],
      ['approve', 'automatic'],
    ],
    [
      ['auth', ''],
      ['init', 'secrets', 'help'],
    ],
    [
      ['auth', 'init', '--kind', ''],
      ['password', 'nkey', 'tls'],
    ],
    [['drain', '--dr'], ['--dry-run']],
    // The value of an option is no command.
    [['-d', 'drain', 'sta'], ['status']],
    [['--context', 'a'], ['alice']],
    [['import', 'map'], ['mapping.json']],
    [
      ['help', 'ex'],
      ['explain', 'export'],
    ],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['drain', '3'], []],
    [['--deployment', ''], []],
  ])('after %j offers %j', async (words, expected) => {
    expect(await offered(...words)).toEqual(expected);
  });

  it('offers the options of all commands above', async () => {
    const options = await offered('drain', '--');
    expect(options).toEqual(expect.arrayContaining(['--node', '--yes', '--json', '--context']));
    expect(new Set(options).size).toBe(options.length);
  });
});

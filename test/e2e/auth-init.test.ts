import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runIsobar } from './run-isobar.js';

let parent: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'isobar-auth-'));
});
afterEach(() => rm(parent, { recursive: true }));

const init = (folder: string, ...options: string[]) =>
  runIsobar('-d', 'demo', 'auth', 'init', folder, '--ranks', '2', ...options);

async function contents(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const path of (await readdir(folder, { recursive: true })).sort()) {
    const { mode } = await stat(join(folder, path));
    const isFolder = (await stat(join(folder, path))).isDirectory();
    const content = isFolder ? 'folder' : await readFile(join(folder, path), 'utf8');
    found.set(`${path} ${(mode & 0o777).toString(8)}`, content);
  }
  return found;
}

describe('isobar auth init', () => {
  it('writes what only its owner can read, and tells no secret', async () => {
    const folder = join(parent, 'set');
    const made = await init(folder, '--kind', 'password', '--operator', 'alice', '--json');
    expect(made.code, made.stderr).toBe(0);
    const report = JSON.parse(made.stdout);
    expect(report).toMatchObject({
      folder,
      roles: ['agent-0', 'agent-1', 'coordinator-0', 'operator-alice'],
      operatorsAccount: 'isobar.demo.operators',
    });
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const [path, content] of await contents(folder)) {
      expect(path).toMatch(content === 'folder' ? / 700$/ : / 600$/);
      if (!path.includes('context.json')) continue;
      const { password } = JSON.parse(content);
      expect(password).toMatch(/^[\w-]{32}$/);
      expect(made.stdout + made.stderr).not.toContain(password);
    }
    expect(await readdir(parent)).toEqual(['set']);
  });

  it.each(['an earlier set', 'an empty folder', 'a file'])(
    'changes nothing in %s',
    async (what) => {
      const path = join(parent, 'taken');
      if (what === 'an earlier set') expect((await init(path)).code).toBe(0);
      else if (what === 'a file') await writeFile(path, 'here already');
      else await mkdir(path);
      const read = () => (what === 'a file' ? readFile(path, 'utf8') : contents(path));
      const before = await read();
      const refused = await init(path);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain('ISOBAR_CLI_AUTH_EXISTS');
      expect(await read()).toEqual(before);
      expect(await readdir(parent)).toEqual(['taken']);
    },
  );

  it('is content with an earlier set, and changes nothing in it, where that was asked for', async () => {
    const folder = join(parent, 'set');
    expect((await init(folder, '--if-absent')).code).toBe(0);
    const before = await contents(folder);
    expect(await init(folder, '--if-absent')).toMatchObject({ code: 0, stdout: '' });
    expect(await contents(folder)).toEqual(before);
  });

  it('takes no authority whose key others can read', async () => {
    const first = join(parent, 'first');
    expect((await init(first)).code).toBe(0);
    const authority = join(first, 'authority');
    expect((await init(join(parent, 'second'), '--authority', authority)).code).toBe(0);
    await chmod(join(authority, 'ca-key.pem'), 0o640);
    const refused = await init(join(parent, 'third'), '--authority', authority);
    expect(refused.stderr).toContain('ISOBAR_BUS_SECRET_EXPOSED');
    expect(await readdir(parent)).toEqual(['first', 'second']);
  });

  it.each([
    ['--operator', 'al ice', 1, 'operators'],
    ['--host', 'nats://somewhere', 1, 'hosts'],
    ['--route', 'nats-1:6222', 1, 'routes'],
    ['--kind', 'token', 2, '--kind'],
    ['--valid', '0', 2, '--valid'],
  ])('names the option that is wrong: %s %s', async (option, value, code, named) => {
    const refused = await init(join(parent, 'set'), option, value);
    expect(refused).toMatchObject({ code, stdout: '' });
    expect(refused.stderr).toContain(named);
    expect(await readdir(parent)).toEqual([]);
  });
});

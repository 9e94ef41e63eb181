import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createUser } from 'nkeys.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type ConnectionOptions,
  connectionOf,
  contextPath,
  serverDefault,
} from '../src/connection.js';
import { createProgram } from '../src/program.js';

let home: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'isobar-connection-'));
  await mkdir(join(home, 'nats', 'context'), { recursive: true });
});
afterEach(() => rm(home, { recursive: true }));

function context(name: string, fields: Record<string, string>): Promise<void> {
  const path = join(home, 'nats', 'context', `${name}.json`);
  return writeFile(path, JSON.stringify(fields), { mode: 0o600 });
}

const select = (name: string) => writeFile(join(home, 'nats', 'context.txt'), `${name}\n`);
const of = (options: ConnectionOptions) => connectionOf(options, { XDG_CONFIG_HOME: home });

async function seedFile(): Promise<string> {
  const path = join(home, 'user.nk');
  await writeFile(path, new TextDecoder().decode(createUser().getSeed()), { mode: 0o600 });
  return path;
}

describe('how to connect', () => {
  it('is anonymous, to this machine, where nothing is said', async () => {
    expect(await of({})).toEqual({ servers: [serverDefault], context: null });
  });

  it('is what the selected context says', async () => {
    await context('alice', { url: 'nats://a:1,nats://b:2' });
    await select('alice');
    expect(await of({})).toMatchObject({ servers: ['nats://a:1', 'nats://b:2'] });
    expect(await of({ context: '' })).toMatchObject({ servers: [serverDefault], context: null });
  });

  it('is by a context that is named, before the one that is selected', async () => {
    await context('alice', { url: 'nats://a:1' });
    await context('bob', { url: 'nats://b:2' });
    await select('alice');
    expect((await of({ context: 'bob' })).servers).toEqual(['nats://b:2']);
  });

  it('is by single options before any context', async () => {
    await context('alice', { url: 'nats://a:1', user: 'alice', password: 'secret' });
    const nkey = await seedFile();
    const { servers, context: read } = await of({ context: 'alice', server: 'nats://c:3', nkey });
    expect(servers).toEqual(['nats://c:3']);
    // The whole identity is replaced: a name of one and a key of another would be neither.
    const signed = read?.secrets().authenticator?.('nonce');
    expect(signed).toMatchObject({ nkey: expect.any(String), sig: expect.any(String) });
    expect(signed).not.toHaveProperty('user');
  });

  it('needs no context where a file says as whom', async () => {
    const { context: read } = await of({ nkey: await seedFile() });
    expect(read?.secrets().authenticator).not.toBeNull();
  });

  it.each([
    [{ creds: 'a.creds', nkey: 'a.nk' }, 'creds'],
    [{ tlscert: 'a.pem' }, 'key'],
    [{ tlskey: 'a.pem' }, 'cert'],
  ])('is refused where %j do not go together', async (options, field) => {
    await expect(of(options)).rejects.toMatchObject({
      code: 'ISOBAR_BUS_CONTEXT',
      fields: { field },
    });
  });

  it('is refused where the selected context is gone', async () => {
    await select('gone');
    const file = join(home, 'nats', 'context', 'gone.json');
    await expect(of({})).rejects.toMatchObject({
      code: 'ISOBAR_BUS_FILE_UNREADABLE',
      fields: { file },
    });
  });

  it.each([
    ['prod', 'nats/context/prod.json'],
    ['./prod', './prod'],
    ['prod.json', 'prod.json'],
  ])('finds context %s', (name, path) => {
    expect(contextPath(name, { XDG_CONFIG_HOME: '' })).toMatch(new RegExp(`${path}$`));
  });
});

describe('an option for the connection', () => {
  it('goes before its variable', async () => {
    const variables = { NATS_URL: 'nats://variable:1', NATS_NKEY: 'variable.nk' };
    const before = { ...process.env };
    Object.assign(process.env, variables);
    try {
      const program = createProgram();
      program.command('nothing').action(() => undefined);
      await program.parseAsync(['-s', 'nats://option:1', 'nothing'], { from: 'user' });
      expect(program.opts()).toMatchObject({ server: 'nats://option:1', nkey: 'variable.nk' });
    } finally {
      process.env = before;
    }
  });

  it('that would hold a secret is not there', () => {
    const flags = createProgram().options.map(({ long }) => long);
    for (const secret of ['--password', '--token', '--seed']) expect(flags).not.toContain(secret);
  });
});

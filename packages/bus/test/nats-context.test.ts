import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { awaitBus, type Bus, connectBus, readNatsContext } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { createAccount, createOperator, createUser, type KeyPair } from 'nkeys.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const secret = 'correct-horse-battery-staple';
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-context-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function write(name: string, content: unknown, mode = 0o600): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content), { mode });
  await chmod(path, mode);
  return path;
}

async function refusal(path: string): Promise<IsobarError> {
  try {
    await readNatsContext(path);
  } catch (error) {
    if (error instanceof IsobarError) return error;
    throw error;
  }
  throw new Error('it was read');
}

/** All that a log could show of a value. */
function shown(value: unknown): string {
  return inspect(value, { depth: null, showHidden: true }) + JSON.stringify(value);
}

describe('a context', () => {
  it('is read as the nats client writes it, with files from its own folder', async () => {
    const seed = new TextDecoder().decode(createUser().getSeed());
    await write('user.nk', `${seed}\n`);
    const path = await write('context.json', {
      description: 'of the stock client',
      url: 'nats://a:4222, nats://b:4222',
      nkey: 'user.nk',
      user: '',
      password: '',
      token: '',
      inbox_prefix: '_INBOX.me',
      jetstream_api_prefix: 'elsewhere.API',
    });
    const context = await readNatsContext(path);
    expect(context.servers).toEqual(['nats://a:4222', 'nats://b:4222']);
    expect(context.inboxPrefix).toBe('_INBOX.me');
    expect(context.apiPrefix).toBe('elsewhere.API');
    expect(shown(context)).not.toContain(seed);
  });

  it.each([{ token: secret }, { user_jwt: secret }, { user_jwt: 'public', user_seed: secret }])(
    'is refused where others may read a secret in it: %o',
    async (content) => {
      const error = await refusal(await write('context.json', content, 0o640));
      expect(error.code).toBe('ISOBAR_BUS_SECRET_EXPOSED');
      expect(shown(error) + error.stack).not.toContain(secret);
    },
  );

  it.each([0o640, 0o604, 0o620, 0o660, 0o644, 0o601])(
    'is refused with mode %o where a password is in it',
    async (mode) => {
      const path = await write('context.json', { user: 'me', password: secret }, mode);
      const error = await refusal(path);
      expect(error).toMatchObject({
        code: 'ISOBAR_BUS_SECRET_EXPOSED',
        fields: { file: path, mode: `0${mode.toString(8)}` },
      });
      expect(shown(error) + error.stack).not.toContain(secret);
    },
  );

  it.each(['nkey', 'creds', 'key'])(
    'is refused where the file of %s is open to others',
    async (field) => {
      const file = await write('secret', secret, 0o640);
      await write('cert', 'a certificate', 0o644);
      const certificate = field === 'key' ? { cert: 'cert' } : {};
      const error = await refusal(
        await write('context.json', { [field]: 'secret', ...certificate }),
      );
      expect(error).toMatchObject({
        code: 'ISOBAR_BUS_SECRET_EXPOSED',
        fields: { file, mode: '0640' },
      });
    },
  );

  it('needs no protection of its own where it only names files', async () => {
    await write('ca.pem', 'a certificate', 0o644);
    const path = await write('context.json', { ca: 'ca.pem' }, 0o644);
    expect((await readNatsContext(path)).servers).toEqual([]);
  });

  it.each([
    ['text that is no JSON', `{"password": ${secret}}`, ''],
    ['a field of another type', { user: 7 }, 'user'],
    ['a user without a password', { user: 'me' }, 'password'],
    ['a password without a user', { password: secret }, 'user'],
    ['two identities', { user: 'me', password: secret, creds: 'x' }, 'creds'],
    ['a certificate without its key', { cert: 'x' }, 'key'],
    ['a key without its certificate', { key: 'x' }, 'cert'],
    ['what is not supported', { jetstream_domain: 'hub' }, 'jetstream_domain'],
    ['a token beside a user', { user: 'me', password: secret, token: secret }, 'token'],
    ['a seed without its user', { user_seed: secret }, 'user_jwt'],
    ['a seed of a user that is none', { user_jwt: 'x', user_seed: secret }, 'user_seed'],
    ['a token that is elsewhere', { token: `env://${secret}` }, 'token'],
    ['credentials in itself', { creds: `data:;base64,${secret}` }, 'creds'],
    ['a reference to nsc that is none', { nsc: 'nsc://--data-dir/x' }, 'nsc'],
    ['a seed that is none', { nkey: 'junk' }, 'nkey'],
    ['credentials that are none', { creds: 'junk' }, 'creds'],
  ])('is refused with %s, and no secret is told', async (_, content, field) => {
    await write('junk', secret);
    const error = await refusal(await write('context.json', content));
    expect(error).toMatchObject({ code: 'ISOBAR_BUS_CONTEXT', fields: { field } });
    expect(shown(error) + error.stack + shown(error.cause)).not.toContain(secret);
  });

  it('is refused where a file is missing, a folder, or too large', async () => {
    await mkdir(join(folder, 'a-folder'));
    await write('large', 'x'.repeat(70_000));
    for (const nkey of ['missing', 'a-folder', 'large']) {
      const error = await refusal(await write('context.json', { nkey }));
      expect(error).toMatchObject({
        code: 'ISOBAR_BUS_FILE_UNREADABLE',
        fields: { file: join(folder, nkey) },
      });
    }
  });
});

describe('a context that refers to nsc', () => {
  const path = process.env.PATH;
  afterEach(() => {
    process.env.PATH = path;
  });

  /** A stand-in for `nsc`, in a PATH of its own. */
  async function nsc(script: string): Promise<void> {
    await write('nsc', `#!/bin/sh\n${script}\n`, 0o755);
    process.env.PATH = `${folder}:/bin:/usr/bin`;
  }

  it('asks it for credentials and servers, as the nats client does', async () => {
    const user = createUser();
    const seed = new TextDecoder().decode(user.getSeed());
    const creds = await write('user.creds', credentials('a.token.signed', seed));
    const profile = { user_creds: creds, operator: { service: ['nats://a:4222', 'nats://b'] } };
    await nsc(
      `[ "$*" = "generate profile nsc://o/a/u" ] || exit 7\necho '${JSON.stringify(profile)}'`,
    );
    for (const content of [{ nsc: 'nsc://o/a/u' }, { nsc: 'o/a/u' }, { creds: 'nsc://o/a/u' }]) {
      const context = await readNatsContext(await write('context.json', content));
      expect(context.servers).toEqual(['nats://a:4222', 'nats://b']);
      expect(context.secrets().authenticator?.('nonce')).toMatchObject({ jwt: 'a.token.signed' });
      expect(shown(context)).not.toContain(seed);
    }
    await chmod(creds, 0o644);
    const exposed = await refusal(await write('context.json', { nsc: 'nsc://o/a/u' }));
    expect(exposed.code).toBe('ISOBAR_BUS_SECRET_EXPOSED');
  });

  it.each([
    ['fails', `echo ${secret} >&2; exit 3`, 'has ended with 3'],
    ['prints something else', `echo ${secret}`, 'names no credentials'],
    ['prints too much', `while :; do echo ${secret}; done`, 'has ended with'],
  ])('is refused where it %s, and nothing of that is shown', async (_, script, why) => {
    await nsc(script);
    const error = await refusal(await write('context.json', { nsc: 'nsc://o/a/u' }));
    expect(error).toMatchObject({ code: 'ISOBAR_BUS_CONTEXT', fields: { field: 'nsc' } });
    expect(error.message).toContain(why);
    expect(shown(error) + error.stack + shown(error.cause)).not.toContain(secret);
  });

  it('says what to do where there is no nsc', async () => {
    process.env.PATH = folder;
    const error = await refusal(await write('context.json', { creds: 'nsc://o/a/u' }));
    expect(error).toMatchObject({ code: 'ISOBAR_BUS_CONTEXT', fields: { field: 'creds' } });
    expect(error.message).toContain("write the user's credentials with 'nsc generate creds'");
  });
});

describe('a connection', () => {
  const guard = new ProcessGuard();
  const operator = createOperator();
  const account = createAccount();
  const user = createUser();
  let server: NatsServer;

  const connectAs = async (
    context: Record<string, unknown>,
    servers = [server.url],
  ): Promise<Bus> =>
    connectBus({
      servers,
      name: 'test',
      context: await readNatsContext(await write('context.json', context)),
      onError: () => undefined,
    });

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-credentials-'));
    guard.removeAtEnd(directory);
    const configuration = join(directory, 'nats-server.conf');
    const accountToken = token(operator, account, 'account', { limits: unlimited });
    await writeFile(
      configuration,
      `operator: ${token(operator, operator, 'operator', {})}
resolver: MEMORY
resolver_preload: { ${account.getPublicKey()}: ${accountToken} }
`,
    );
    server = await startNatsServer({ directory, guard, configuration });
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    await guard.close();
  });

  it('is made with a credentials file, or with what would be in one', async () => {
    const signed = token(account, user, 'user', {
      pub: {},
      sub: {},
      subs: -1,
      data: -1,
      payload: -1,
    });
    const seed = new TextDecoder().decode(user.getSeed());
    await write('user.creds', credentials(signed, seed));
    for (const context of [{ creds: 'user.creds' }, { user_jwt: signed, user_seed: seed }]) {
      const bus = await connectAs(context);
      await bus.flush();
      await bus.close();
    }
  });

  it('is made with a token', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-token-'));
    guard.removeAtEnd(directory);
    const configuration = join(directory, 'nats-server.conf');
    await writeFile(configuration, `authorization: { token: "${secret}" }\n`);
    const own = await startNatsServer({ directory, guard, configuration });
    try {
      const bus = await connectAs({ token: secret }, [own.url]);
      await bus.flush();
      await bus.close();
      const failed = await connectAs({ token: 'another' }, [own.url]).catch((error) => error);
      expect(failed).toMatchObject({ code: 'ISOBAR_BUS_UNAUTHORIZED' });
    } finally {
      await own.stop();
    }
  });

  it('that the server refuses is told as such, without a secret', async () => {
    const failed = await connectAs({ user: 'me', password: secret }).catch((error) => error);
    expect(failed).toMatchObject({ code: 'ISOBAR_BUS_UNAUTHORIZED' });
    expect(shown(failed) + shown(failed.cause)).not.toContain(secret);
  });

  it('is not made in the clear where the context names an authority', async () => {
    await write('ca.pem', 'a certificate');
    const failed = await connectAs({ ca: 'ca.pem' }).catch((error) => error);
    expect(failed).toMatchObject({ code: 'ISOBAR_BUS_UNREACHABLE' });
    expect(failed.message).toContain('tls');
  });

  it.each(['nats://me:%s@127.0.0.1:4222', 'me:%s@127.0.0.1'])(
    'takes no secret from a URL: %s',
    async (url) => {
      const servers = ['nats://127.0.0.1:4222', url.replace('%s', secret)];
      const failed = await connectAs({}, servers).catch((error) => error);
      expect(failed).toMatchObject({ code: 'ISOBAR_BUS_SERVER_URL', fields: { index: 1 } });
      expect(shown(failed) + shown(failed.cause)).not.toContain(secret);
      const options = { servers, name: 'test', onError: () => undefined };
      const { signal } = new AbortController();
      await expect(awaitBus(options, () => undefined, signal)).rejects.toThrow('URL 2');
    },
  );
});

const unlimited = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 };

function credentials(userToken: string, seed: string): string {
  return (
    `-----BEGIN NATS USER JWT-----\n${userToken}\n------END NATS USER JWT------\n\n` +
    `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`
  );
}

/** A token as operators, accounts and users of NATS have, of the second version. */
function token(issuer: KeyPair, subject: KeyPair, type: string, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = {
    jti: subject.getPublicKey(),
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    name: type,
    sub: subject.getPublicKey(),
    nats: { ...claims, type, version: 2 },
  };
  const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(body)}`;
  const signature = issuer.sign(new TextEncoder().encode(signed));
  return `${signed}.${Buffer.from(signature).toString('base64url')}`;
}

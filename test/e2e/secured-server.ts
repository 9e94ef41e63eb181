import { copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import {
  type AuthenticationKind,
  type AuthenticationPlan,
  accountsFileName,
  authorityFiles,
  contextFileName,
  createAuthenticationSet,
} from '@isobar/auth';
import { type Role, roleName } from '@isobar/protocol';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import {
  type ConnectionOptions,
  connect,
  type NatsConnection,
  nkeyAuthenticator,
  usernamePasswordAuthenticator,
} from 'nats';
import { currentNatsServerPath } from './go-executables.js';

export const securedDeployment = 'demo';
/** Beside it on the same server. */
export const otherDeployment = 'other';

/** The server that other tests use, and a current one where it can be had. */
export const natsServers = [
  { name: 'the usual nats-server', executable: null },
  ...(currentNatsServerPath === null
    ? []
    : [{ name: 'a current nats-server', executable: currentNatsServerPath }]),
];

type OwnFields = 'kind' | 'deployment' | 'authority' | 'installedAt' | 'storeDirectory';
const common: Omit<AuthenticationPlan, OwnFields> = {
  numRanks: 2,
  numCoordinators: 1,
  operators: ['alice'],
  viewers: ['grafana'],
  hosts: ['localhost', '127.0.0.1'],
  port: 4222,
  routes: [],
  validDays: 1,
};

/** A nats-server with what `isobar auth init` writes for two deployments, and raw clients of it. */
export class SecuredServer {
  readonly url: string;
  readonly #directory: string;
  readonly #guard: ProcessGuard;
  readonly #server: NatsServer;
  readonly #connections: NatsConnection[] = [];

  private constructor(directory: string, guard: ProcessGuard, server: NatsServer) {
    this.url = server.url;
    this.#directory = directory;
    this.#guard = guard;
    this.#server = server;
  }

  /** @param executable the server; the usual one where null */
  static async start(kind: AuthenticationKind, executable: string | null): Promise<SecuredServer> {
    const guard = new ProcessGuard();
    const directory = await mkdtemp(join(tmpdir(), 'isobar-secured-'));
    guard.removeAtEnd(directory);
    const plan = { ...common, kind, storeDirectory: join(directory, 'store') };
    const first = join(directory, securedDeployment);
    await writeSet(first, { ...plan, deployment: securedDeployment, authority: null });
    const authority = {
      certificate: await readFile(join(first, authorityFiles.certificate), 'utf8'),
      key: await readFile(join(first, authorityFiles.key), 'utf8'),
    };
    const second = join(directory, otherDeployment);
    await writeSet(second, { ...plan, deployment: otherDeployment, authority });
    const configuration = join(first, 'server', 'nats-server.conf');
    await includeAccounts(configuration, join(second, 'server', accountsFileName(otherDeployment)));
    const server = await startNatsServer({
      directory: join(directory, 'nats'),
      guard,
      configuration,
      ...(executable === null ? {} : { executable }),
    });
    return new SecuredServer(directory, guard, server);
  }

  contextPath(deployment: string, role: Role): string {
    return join(this.#directory, deployment, roleName(role), contextFileName);
  }

  caPath(deployment: string, role: Role): string {
    return join(this.#directory, deployment, roleName(role), 'ca.pem');
  }

  /** Connects as a program would that knows only the context file. */
  async connect(
    deployment: string,
    role: Role,
    options: ConnectionOptions = {},
  ): Promise<NatsConnection> {
    const context = JSON.parse(await readFile(this.contextPath(deployment, role), 'utf8'));
    const { user, password, nkey, ca, cert, key, inbox_prefix: inboxPrefix } = context;
    const connection = await connect({
      servers: this.url,
      inboxPrefix,
      tls: { caFile: ca, certFile: cert, keyFile: key },
      ...(user === undefined
        ? {}
        : { authenticator: usernamePasswordAuthenticator(user, password) }),
      ...(nkey === undefined
        ? {}
        : {
            authenticator: nkeyAuthenticator(
              new TextEncoder().encode((await readFile(nkey, 'utf8')).trim()),
            ),
          }),
      ...options,
    });
    this.#connections.push(connection);
    return connection;
  }

  /** Closes every connection made so far. */
  async disconnect(): Promise<void> {
    await Promise.all(this.#connections.splice(0).map((connection) => connection.close()));
  }

  async close(): Promise<void> {
    await this.disconnect();
    await this.#server.stop();
    await this.#guard.close();
  }
}

async function writeSet(
  directory: string,
  wanted: Omit<AuthenticationPlan, 'installedAt'>,
): Promise<void> {
  const { files } = await createAuthenticationSet({ ...wanted, installedAt: directory });
  for (const [path, content] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true, mode: 0o700 });
    await writeFile(join(directory, path), content, { mode: 0o600 });
  }
}

/** What docs/SECURITY.md tells to do for a second deployment on a server. */
async function includeAccounts(configuration: string, accounts: string): Promise<void> {
  const name = basename(accounts);
  await copyFile(accounts, join(dirname(configuration), name));
  const text = await readFile(configuration, 'utf8');
  const included = text.replace(
    'accounts: {\n',
    `accounts: {\n  include ${JSON.stringify(name)}\n`,
  );
  await writeFile(configuration, included);
}

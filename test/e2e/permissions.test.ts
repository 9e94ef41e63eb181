import { authenticationKinds } from '@isobar/auth';
import {
  commandNames,
  commands,
  eventStreamName,
  eventsApiPrefix,
  type Permissions,
  permissionsOf,
  type Role,
  recordsBucket,
  roleName,
  subjectsOf,
} from '@isobar/protocol';
import {
  Empty,
  Events,
  type NatsConnection,
  nkeyAuthenticator,
  nkeys,
  RequestStrategy,
  usernamePasswordAuthenticator,
} from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  natsServers,
  otherDeployment,
  SecuredServer,
  securedDeployment,
} from './secured-server.js';

const roles: readonly Role[] = [
  { kind: 'agent', rank: 0 },
  { kind: 'agent', rank: 1 },
  { kind: 'coordinator', index: 0 },
  { kind: 'operator', person: 'alice' },
  { kind: 'viewer', person: 'grafana' },
];
const deployments = [securedDeployment, otherDeployment];
const permissions = new Map(roles.map((role) => [role, permissionsOf(securedDeployment, role)]));
const bucket = recordsBucket(securedDeployment);
const events = eventStreamName(securedDeployment);
const eventsApi = eventsApiPrefix(securedDeployment);

function may(role: Role): Permissions {
  return permissions.get(role) ?? permissionsOf(securedDeployment, role);
}

/** A subject that the pattern covers. */
function example(pattern: string): string {
  return pattern.replaceAll('*', '0').replace(/>$/, 'a.b');
}

/**
 * Whether nats-server lets a subject pass under a pattern. Wildcards of a subscription are taken for
 * tokens like any other, so that `load.*` covers a subscription to `load.>` too.
 */
function covers(pattern: string, subject: string): boolean {
  const wanted = subject.split('.');
  const tokens = pattern.split('.');
  const open = tokens.at(-1) === '>';
  if (open ? wanted.length < tokens.length : wanted.length !== tokens.length) return false;
  return tokens.every((token, index) => token === '*' || token === '>' || token === wanted[index]);
}

/** Every subject of every role of both deployments, and others that none may have. */
const literals = unique([
  ...deployments.flatMap((deployment) =>
    roles.flatMap((role) => {
      const { publish, request, subscribe, answer, inboxPrefix } = permissionsOf(deployment, role);
      const patterns = [...publish, ...request, ...subscribe, ...answer, `${inboxPrefix}.>`];
      return patterns.map(example);
    }),
  ),
  ...['load.9', 'agent.9.report', 'agent.9.query', 'vote.3.9', 'swap.other'].map(
    (rest) => `isobar.v1.${securedDeployment}.${rest}`,
  ),
  ...['leader.other', 'leader.leave', 'leader.leave.9'].map(
    (rest) => `isobar.v1.${securedDeployment}.${rest}`,
  ),
  `isobar.v1.${securedDeployment}.command.other`,
  ...['other', 'map', 'map.7.8', 'leader.x', 'control.x'].map((key) => `$KV.${bucket}.${key}`),
  ...[
    'STREAM.DELETE',
    'STREAM.PURGE',
    'STREAM.UPDATE',
    'STREAM.MSG.DELETE',
    'STREAM.SNAPSHOT',
    'STREAM.RESTORE',
    'STREAM.LEADER.STEPDOWN',
    'CONSUMER.CREATE',
    'CONSUMER.LIST',
    'DIRECT.GET',
  ].map((verb) => `$JS.API.${verb}.KV_${bucket}`),
  ...[
    'STREAM.DELETE',
    'STREAM.PURGE',
    'STREAM.MSG.DELETE',
    'CONSUMER.CREATE',
    'CONSUMER.DURABLE.CREATE',
    'CONSUMER.LIST',
    'DIRECT.GET',
  ].flatMap((verb) => [`$JS.API.${verb}.${events}`, `${eventsApi}.${verb}.${events}`]),
  `$JS.API.CONSUMER.CREATE.${events}.mine`,
  `${eventsApi}.CONSUMER.CREATE.${events}.mine`,
  `$JS.API.STREAM.MSG.GET.${events}`,
  `${eventsApi}.STREAM.INFO.KV_${bucket}`,
  `${eventsApi}.STREAM.MSG.GET.KV_${bucket}`,
  '$JS.API.STREAM.CREATE.OTHER',
  '$JS.API.STREAM.LIST',
  '$JS.API.STREAM.NAMES',
  '$SRV.PING.other',
  '$SYS.REQ.SERVER.PING',
  '$SYS.REQ.USER.INFO',
  '_INBOX.someone.1',
  '_R_.someone.1',
  'elsewhere',
]);

const wildcards = [
  ...['>', '*', 'isobar.>', 'isobar.v1.>', 'isobar.v1.*.load.*', '_INBOX.>', '_INBOX.*.*'],
  ...['_INBOX.isobar.>', '$JS.>', '$JS.API.>', '$KV.>', '$SRV.>', '$SYS.>', '_R_.>'],
  ...deployments.flatMap((deployment) => [
    ...['>', 'load.*', 'load.>', 'agent.*.report', 'agent.*.query', 'agent.>', 'vote.*.*'].map(
      (rest) => `isobar.v1.${deployment}.${rest}`,
    ),
    ...['vote.>', 'swap.*', 'swap.>', 'leader.*', 'leader.>', 'command.*', 'command.>'].map(
      (rest) => `isobar.v1.${deployment}.${rest}`,
    ),
    ...['leader.leave.*', 'event.>'].map((rest) => `isobar.v1.${deployment}.${rest}`),
    `_INBOX.isobar.${deployment}.>`,
    `_INBOX.isobar.${deployment}.*.*`,
    `$KV.${recordsBucket(deployment)}.>`,
  ]),
];

function unique(subjects: readonly string[]): string[] {
  return [...new Set(subjects)].sort();
}

/** Collects the server's refusals on one connection. */
class Refusals {
  readonly #connection: NatsConnection;
  readonly #seen = new Set<string>();

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    void this.#watch();
  }

  async #watch(): Promise<void> {
    for await (const { type, permissionContext: refused } of this.#connection.status()) {
      if (type === Events.Error && refused)
        this.#seen.add(`${refused.operation} ${refused.subject}`);
    }
  }

  /** Subjects refused since the last call. The server refuses before it answers a ping. */
  async take(operation: 'publish' | 'subscription'): Promise<string[]> {
    await this.#connection.flush();
    await this.#connection.flush();
    const taken = [...this.#seen].filter((seen) => seen.startsWith(`${operation} `));
    for (const seen of taken) this.#seen.delete(seen);
    return unique(taken.map((seen) => seen.slice(operation.length + 1)));
  }
}

describe.each(natsServers)('on $name', ({ executable }) => {
  describe.each(authenticationKinds)('with %s', (kind) => {
    let server: SecuredServer;

    beforeAll(async () => {
      server = await SecuredServer.start(kind, executable);
      const coordinator = await connectAs({ kind: 'coordinator', index: 0 });
      await coordinator.jetstream().views.kv(bucket, { allow_direct: false });
      const manager = await coordinator.jetstreamManager();
      const subjects = [subjectsOf(securedDeployment).event('>')];
      await manager.streams.add({ name: events, subjects });
    });
    afterEach(() => server.disconnect());
    afterAll(() => server.close());

    const connectAs = (role: Role) => server.connect(securedDeployment, role);

    describe.each(roles.map((role) => ({ name: roleName(role), role })))('$name', ({ role }) => {
      it('publishes what it may, and nothing else', async () => {
        const connection = await connectAs(role);
        const refusals = new Refusals(connection);
        for (const subject of literals) connection.publish(subject);
        const { publish, request } = may(role);
        const allowed = [...publish, ...request];
        expect(await refusals.take('publish')).toEqual(
          literals.filter((subject) => !allowed.some((pattern) => covers(pattern, subject))),
        );
      });

      it('subscribes to what it may, and nothing else', async () => {
        const connection = await connectAs(role);
        const refusals = new Refusals(connection);
        const wanted = unique([...literals, ...wildcards]);
        for (const subject of wanted) connection.subscribe(subject, { callback: () => undefined });
        const { subscribe, answer, inboxPrefix } = may(role);
        const allowed = [...subscribe, ...answer, `${inboxPrefix}.>`];
        expect(await refusals.take('subscription')).toEqual(
          wanted.filter((subject) => !allowed.some((pattern) => covers(pattern, subject))),
        );
      });

      it('hears all that is told to it', async () => {
        const connection = await connectAs(role);
        for (const pattern of may(role).subscribe) {
          for (const teller of roles) {
            for (const told of [...may(teller).publish, ...may(teller).request].map(example)) {
              if (!covers(pattern, told)) continue;
              const heard = nextMessage(connection, pattern);
              await connection.flush();
              (await connectAs(teller)).publish(told, roleName(teller));
              expect(await heard).toEqual({ subject: told, text: roleName(teller) });
            }
          }
        }
      });

      it('is answered whatever it may ask, and refused all else', async () => {
        const asking = await connectAs(role);
        const answering = await Promise.all(roles.map((answerer) => answerAll(answerer)));
        await Promise.all(answering.map((connection) => connection.flush()));
        const { request } = may(role);
        for (const subject of request.map(example)) {
          const answers = await asking.requestMany(subject, Empty, {
            strategy: RequestStrategy.Count,
            maxMessages: 1,
            maxWait: 10_000,
          });
          const texts: string[] = [];
          for await (const message of answers) texts.push(message.string());
          expect(texts, subject).toHaveLength(1);
        }
        const allowed = [...may(role).publish, ...request];
        const refused = literals.filter(
          (subject) => !allowed.some((each) => covers(each, subject)),
        );
        const outcomes = await Promise.all(
          refused.map((subject) =>
            asking.request(subject, Empty, { timeout: 30_000 }).then(
              () => `${subject} was answered`,
              (error: { readonly code?: string }) => error.code,
            ),
          ),
        );
        expect(new Set(outcomes)).toEqual(new Set(['PERMISSIONS_VIOLATION']));
      });
    });

    /** Connects a role that answers all that it may. */
    async function answerAll(role: Role): Promise<NatsConnection> {
      const connection = await connectAs(role);
      for (const pattern of may(role).answer) {
        connection.subscribe(pattern, {
          callback: (_, message) => {
            message.respond(message.data);
          },
        });
      }
      return connection;
    }

    it('an agent may answer a question once, and nobody who did not ask', async () => {
      const [agentRole, , coordinatorRole] = roles;
      if (agentRole === undefined || coordinatorRole === undefined) throw new Error('no roles');
      const agent = await connectAs(agentRole);
      const coordinator = await connectAs(coordinatorRole);
      const refusals = new Refusals(agent);
      const asked = new Promise<string>((resolve) => {
        agent.subscribe(example(may(agentRole).answer[0] ?? ''), {
          callback: (_, message) => {
            message.respond('first');
            message.respond('second');
            resolve(message.reply ?? '');
          },
        });
      });
      await agent.flush();
      const subject = example(may(agentRole).answer[0] ?? '');
      expect((await coordinator.request(subject, Empty, { timeout: 10_000 })).string()).toBe(
        'first',
      );
      expect(await refusals.take('publish')).toEqual([await asked]);
    });

    it('nobody comes in without credentials, or with those of a stranger', async () => {
      const role: Role = { kind: 'operator', person: 'alice' };
      const [ca, anonymous] = [server.caPath(securedDeployment, role), () => undefined];
      const guessed = usernamePasswordAuthenticator('operator-alice.demo', 'guessed');
      const stranger = nkeyAuthenticator(nkeys.createUser().getSeed());
      for (const authenticator of [anonymous, guessed, stranger]) {
        // A server that misses a certificate breaks the connection without a word.
        const options = { authenticator, tls: { caFile: ca }, timeout: 2_000 };
        await expect(server.connect(securedDeployment, role, options)).rejects.toThrow();
      }
      const unencrypted = { tls: null };
      await expect(server.connect(securedDeployment, role, unencrypted)).rejects.toThrow();
    });

    it.runIf(kind === 'tls')('a certificate counts, not the user that is claimed', async () => {
      const claimed = { user: 'CN=operator-alice.demo', pass: '' };
      const agent = await server.connect(securedDeployment, { kind: 'agent', rank: 0 }, claimed);
      const refusals = new Refusals(agent);
      const command = `isobar.v1.${securedDeployment}.command.status`;
      agent.publish(`isobar.v1.${securedDeployment}.load.0`);
      agent.publish(command);
      expect(await refusals.take('publish')).toEqual([command]);
    });
  });
});

function nextMessage(
  connection: NatsConnection,
  pattern: string,
): Promise<{ readonly subject: string; readonly text: string }> {
  return new Promise((resolve, reject) => {
    connection.subscribe(pattern, {
      max: 1,
      callback: (error, message) => {
        if (error !== null) reject(error);
        else resolve({ subject: message.subject, text: message.string() });
      },
    });
  });
}

describe('the table of roles', () => {
  const [agent, , coordinator, operator, viewer] = roles;
  const told = (role: Role | undefined) =>
    role === undefined ? [] : [...may(role).publish, ...may(role).request];
  const allows = (role: Role | undefined, rest: string) =>
    told(role).some((pattern) => covers(pattern, `isobar.v1.${securedDeployment}.${rest}`));

  it('lets an agent speak for its own rank alone, write no record and command nothing', () => {
    expect(allows(agent, 'load.0')).toBe(true);
    expect(allows(agent, 'vote.5.0')).toBe(true);
    expect(allows(agent, 'load.1')).toBe(false);
    expect(allows(agent, 'vote.5.1')).toBe(false);
    expect(allows(agent, 'leader.leave.0')).toBe(true);
    expect(allows(agent, 'leader.leave.1')).toBe(false);
    expect(allows(agent, 'agent.1.report')).toBe(false);
    expect(commandNames.some((name) => allows(agent, `command.${name}`))).toBe(false);
    expect(told(agent).filter((subject) => /^\$|\.swap\./.test(subject))).toEqual([]);
  });

  it('lets a viewer change nothing, and an operator command but not pose as the cluster', () => {
    const changing = commandNames.filter((name) => commands[name].access === 'change');
    expect(changing).toEqual(expect.arrayContaining(['pause', 'rollback', 'declare-dead']));
    expect(changing.filter((name) => allows(viewer, `command.${name}`))).toEqual([]);
    expect(changing.filter((name) => allows(operator, `command.${name}`))).toEqual(changing);
    for (const rest of ['swap.outcome', 'load.0', 'vote.5.0', 'event.decided']) {
      expect(allows(operator, rest)).toBe(false);
    }
  });

  it('lets people read what is kept, and have the server do nothing with it', () => {
    for (const role of [operator, viewer]) {
      const asked = told(role).filter((subject) => /(STREAM|CONSUMER|DIRECT)/.test(subject));
      expect(asked).toEqual(
        ['INFO', 'MSG.GET'].map((verb) => `${eventsApi}.STREAM.${verb}.${events}`),
      );
    }
  });

  it('lets nobody in the cluster command: what comes is an operator’s', () => {
    expect(commandNames.some((name) => allows(coordinator, `command.${name}`))).toBe(false);
  });
});

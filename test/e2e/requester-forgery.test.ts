import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { authenticationKinds } from '@isobar/auth';
import { type Bus, connectBus, readNatsContext } from '@isobar/bus';
import {
  commandServiceName,
  type IsobarError,
  operatorsAccount,
  type Requester,
  type Role,
  readRequester,
  recordsBucket,
  requesterHeader,
  subjectsOf,
} from '@isobar/protocol';
import { ProcessGuard, startNatsServer } from '@isobar/testing';
import { connect, headers, Match, type Msg, type MsgHdrs, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { natsServers, SecuredServer, securedDeployment } from './secured-server.js';

const { commandPrefix, leader } = subjectsOf(securedDeployment);
const account = operatorsAccount(securedDeployment);
const operator: Role = { kind: 'operator', person: 'alice' };
const viewer: Role = { kind: 'viewer', person: 'grafana' };
const forged = JSON.stringify({ acc: account, user: 'operator-bob.demo', host: '10.0.0.9' });

/** Headers that claim another requester, in all ways that might get past a server. */
const forgeries: readonly [string, (header: MsgHdrs) => void][] = [
  ['as it is', (header) => header.set(requesterHeader, forged, Match.Exact)],
  [
    'twice',
    (header) => {
      header.append(requesterHeader, forged, Match.Exact);
      header.append(requesterHeader, forged, Match.Exact);
    },
  ],
  ['in small letters', (header) => header.set(requesterHeader.toLowerCase(), forged, Match.Exact)],
  [
    'behind a header that names it',
    (header) => {
      header.set('A', requesterHeader, Match.Exact);
      header.set(requesterHeader, forged, Match.Exact);
    },
  ],
  [
    'behind a header whose name ends like it',
    (header) => {
      header.set(`X-${requesterHeader}`, 'nothing', Match.Exact);
      header.set(requesterHeader, forged, Match.Exact);
    },
  ],
];

interface Served {
  readonly bus: Bus;
  readonly done: string[];
  readonly errors: IsobarError[];
}

/** Serves commands that answer who asked for them, as a coordinator records it. */
async function serve(bus: Bus, vouched: string | null, errors: IsobarError[]): Promise<Served> {
  const done: string[] = [];
  const endpoint = (name: string) => ({
    name,
    description: name,
    handle: (_: Uint8Array, information: readonly string[]) => {
      const requester = readRequester(information, vouched);
      done.push(name);
      return new TextEncoder().encode(JSON.stringify(requester));
    },
  });
  await bus.serveCommands(
    {
      name: commandServiceName(securedDeployment),
      version: '0.1.0',
      description: 'test',
      subjectPrefix: commandPrefix,
    },
    ['status', 'pause'].map(endpoint),
  );
  bus.subscribe(leader('outcomes'), (message) => {
    done.push('outcomes');
    message.respond(new Uint8Array([1]));
  });
  await bus.flush();
  return { bus, done, errors };
}

/** The requester recorded, or the code of the refusal. */
async function ask(connection: NatsConnection, header?: MsgHdrs): Promise<Requester | string> {
  const options = { timeout: 10_000, ...(header === undefined ? {} : { headers: header }) };
  const answer: Msg = await connection.request(`${commandPrefix}.status`, '', options);
  const refused = answer.headers?.get('Isobar-Error-Code') ?? '';
  return refused === '' ? answer.json<Requester>() : refused;
}

function forge(write: (header: MsgHdrs) => void): MsgHdrs {
  const header = headers();
  write(header);
  return header;
}

describe.each(natsServers)('on $name', ({ executable }) => {
  describe.each(authenticationKinds)('with operators in an account of their own, %s', (kind) => {
    let server: SecuredServer;
    let served: Served;

    beforeAll(async () => {
      server = await SecuredServer.start(kind, executable);
      const role: Role = { kind: 'coordinator', index: 0 };
      const errors: IsobarError[] = [];
      const bus = await connectBus({
        servers: [server.url],
        name: 'coordinator',
        context: await readNatsContext(server.contextPath(securedDeployment, role)),
        onError: (error) => errors.push(error),
      });
      served = await serve(bus, account, errors);
    });
    afterEach(() => server.disconnect());
    afterAll(async () => {
      await served.bus.close();
      await server.close();
    });

    it('the server names who asks', async () => {
      const requester = await ask(await server.connect(securedDeployment, operator));
      const user = { password: 'operator-alice.demo', tls: 'CN=operator-alice.demo' };
      expect(requester).toEqual({
        verified: true,
        account,
        user: kind === 'nkey' ? expect.stringMatching(/^U[A-Z2-7]{55}$/) : user[kind],
        host: '127.0.0.1',
      });
    });

    it.each(forgeries)(
      'a header forged %s is replaced, or the command refused',
      async (_, write) => {
        const connection = await server.connect(securedDeployment, operator);
        const honest = await ask(connection);
        const requester = await ask(connection, forge(write));
        expect([honest, 'ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED']).toContainEqual(requester);
      },
    );

    it('a viewer gets no command done by having an answer sent to it', async () => {
      served.done.length = 0;
      const connection = await server.connect(securedDeployment, viewer);
      connection.publish(`${commandPrefix}.status`, '', { reply: `${commandPrefix}.pause` });
      await connection.flush();
      await settle(served.bus);
      expect(served.done).toEqual(['status']);
    });

    it('an agent gets no record written by having an answer sent to it', async () => {
      const key = 'leader';
      const records = await served.bus.openRecords({ bucket: recordsBucket(securedDeployment) });
      const before = await records.get(key);
      served.done.length = 0;
      const agent = await server.connect(securedDeployment, { kind: 'agent', rank: 0 });
      agent.publish(leader('outcomes'), '', {
        reply: `$KV.${recordsBucket(securedDeployment)}.${key}`,
      });
      await agent.flush();
      await settle(served.bus);
      expect(served.done).toEqual(['outcomes']);
      expect(await records.get(key)).toEqual(before);
    });
  });

  describe('with all in one account', () => {
    const guard = new ProcessGuard();
    let served: Served;
    let client: NatsConnection;
    let stop: () => Promise<void>;

    beforeAll(async () => {
      const directory = await mkdtemp(join(tmpdir(), 'isobar-forgery-'));
      guard.removeAtEnd(directory);
      const server = await startNatsServer({
        directory,
        guard,
        ...(executable === null ? {} : { executable }),
      });
      stop = () => server.stop();
      const errors: IsobarError[] = [];
      const onError = (error: IsobarError) => errors.push(error);
      const bus = await connectBus({ servers: [server.url], name: 'coordinator', onError });
      served = await serve(bus, null, errors);
      client = await connect({ servers: server.url });
    });
    afterAll(async () => {
      await client.close();
      await served.bus.close();
      await stop();
      await guard.close();
    });

    it('a header can be forged, and the requester is recorded as unverified', async () => {
      const requester = await ask(
        client,
        forge((header) => header.set(requesterHeader, forged)),
      );
      expect(requester).toEqual({
        verified: false,
        account,
        user: 'operator-bob.demo',
        host: '10.0.0.9',
      });
    });

    it('no command is done whose answer would go to no inbox', async () => {
      served.done.length = 0;
      client.publish(`${commandPrefix}.pause`);
      client.publish(`${commandPrefix}.pause`, '', { reply: `${commandPrefix}.status` });
      await client.flush();
      await settle(served.bus);
      expect(served.done).toEqual([]);
      expect(served.errors.map(({ code }) => code)).toEqual([
        'ISOBAR_BUS_NO_INBOX',
        'ISOBAR_BUS_NO_INBOX',
      ]);
    });
  });
});

/** Whatever was on its way, and whatever that has led to, has been handled. */
async function settle(bus: Bus): Promise<void> {
  for (let round = 0; round < 4; round += 1) await bus.flush();
}

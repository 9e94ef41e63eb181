import { audited, type CommandEvent, type DeploymentEndpoint } from '@isobar/coordinator';
import { IsobarError } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const account = 'isobar.d.operators';
const alice = { acc: account, user: 'alice', host: '10.0.0.1' };
const words = [JSON.stringify(alice)];
const requester = { verified: true, account, user: 'alice', host: '10.0.0.1' };
const answer = new Uint8Array([1]);

function serve(
  name: DeploymentEndpoint['name'],
  handle: DeploymentEndpoint['handle'],
  vouchedAccount: string | null = account,
) {
  const events: CommandEvent[] = [];
  const endpoints = [{ name, description: '', handle }];
  const [endpoint] = audited(endpoints, vouchedAccount, (event) => events.push(event));
  const ask = async (information: readonly string[] = words) =>
    endpoint?.handle(new Uint8Array(0), information);
  return { events, ask };
}

describe('the audit of commands', () => {
  it('tells what was done and what was refused, by whom', async () => {
    const done = serve('rollback', () => answer);
    expect(await done.ask()).toBe(answer);
    expect(done.events).toEqual([{ command: 'rollback', requester, outcome: 'done', code: null }]);

    const refused = serve('drain', () => {
      throw new IsobarError('ISOBAR_COORDINATOR_NO_PLAN', 'no plan waits');
    });
    await expect(refused.ask()).rejects.toMatchObject({ code: 'ISOBAR_COORDINATOR_NO_PLAN' });
    expect(refused.events).toMatchObject([
      { command: 'drain', requester, outcome: 'refused', code: 'ISOBAR_COORDINATOR_NO_PLAN' },
    ]);
  });

  it('tells nothing of what changes nothing, or is left to the process that leads', async () => {
    const read = serve('status', () => answer);
    await read.ask();
    const left = serve('pause', () => null);
    expect(await left.ask()).toBeNull();
    expect([...read.events, ...left.events]).toEqual([]);
  });

  it('does nothing that the server does not vouch for, unless nothing could', async () => {
    let done = 0;
    const handle = () => {
      done += 1;
      return answer;
    };
    const { ask } = serve('pause', handle);
    const code = 'ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED';
    await expect(ask([])).rejects.toMatchObject({ code });
    expect(done).toBe(0);

    const open = serve('pause', handle, null);
    await open.ask([]);
    expect(open.events).toMatchObject([{ requester: { verified: false, user: null } }]);
  });
});

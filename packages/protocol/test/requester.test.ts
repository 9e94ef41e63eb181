import { operatorsAccount, readRequester } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const account = operatorsAccount('demo');
const vouched = JSON.stringify({ acc: account, user: 'operator-alice.demo', host: '10.0.0.7' });
const unvouched = expect.objectContaining({ code: 'ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED' });

describe('a requester', () => {
  it('is verified where the server names one of the account that all commands come from', () => {
    expect(readRequester([vouched], account)).toEqual({
      verified: true,
      account,
      user: 'operator-alice.demo',
      host: '10.0.0.7',
    });
  });

  it('is what the message claims where nothing vouches for it', () => {
    expect(readRequester([vouched], null)).toMatchObject({
      verified: false,
      user: 'operator-alice.demo',
    });
    expect(readRequester([], null)).toEqual({
      verified: false,
      account: null,
      user: null,
      host: null,
    });
  });

  it.each([
    ['no header', []],
    ['two headers', [vouched, vouched]],
    ['another account', [vouched.replace(account, 'isobar.demo.cluster')]],
    ['no user', [JSON.stringify({ acc: account })]],
    ['no JSON', ['operator-alice.demo']],
    ['a user that is no text', [JSON.stringify({ acc: account, user: { name: 'alice' } })]],
    ['a header beyond the limit', [`${vouched.slice(0, -1)},"pad":"${'x'.repeat(5_000)}"}`]],
  ])('is refused with %s where the server should have vouched', (_, information) => {
    expect(() => readRequester(information, account)).toThrow(unvouched);
    expect(readRequester(information, null).verified).toBe(false);
  });
});

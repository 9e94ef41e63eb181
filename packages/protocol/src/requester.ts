import { z } from 'zod';
import { IsobarError } from './isobar-error.js';

/** Header in which a NATS server names who sent a request that crossed accounts. */
export const requesterHeader = 'Nats-Request-Info';

const text = z.string().min(1).max(256);

/** Who asked for something, as it is recorded. */
export const requesterSchema = z.object({
  /** The server itself named it; else it is what the message claims, which any client can forge. */
  verified: z.boolean(),
  account: text.nullable(),
  /** User name, public key or certificate subject, as the server knows its users. */
  user: text.nullable(),
  /** Address that the requester connected from. */
  host: text.nullable(),
});
export type Requester = Readonly<z.infer<typeof requesterSchema>>;

const requestInfoSchema = z.object({
  acc: text,
  user: text.optional(),
  host: text.optional(),
});

const informationCharactersMax = 4_096;

/**
 * @param information every value of the header, whatever the case of its name
 * @param vouchedAccount account from which all commands come, through an import with `share: true`
 *   and in no other way; null where nothing makes sure of that
 * @throws IsobarError ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED where the server's word is missing,
 *   doubled or another account's although it should be there
 */
export function readRequester(
  information: readonly string[],
  vouchedAccount: string | null,
): Requester {
  const [first, ...others] = information;
  // A server replaces what a client wrote; more than one value is an attempt to outwit that.
  const told = first === undefined || others.length > 0 ? null : parse(first);
  const requester = {
    account: told?.acc ?? null,
    user: told?.user ?? null,
    host: told?.host ?? null,
  };
  if (vouchedAccount === null) return { verified: false, ...requester };
  if (requester.user !== null && requester.account === vouchedAccount) {
    return { verified: true, ...requester };
  }
  const why = others.length > 0 ? 'is there more than once' : `does not name ${vouchedAccount}`;
  throw new IsobarError(
    'ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED',
    `the header ${requesterHeader} ${why}: the command did not come from an operator's account`,
    { field: requesterHeader, account: requester.account, values: information.length },
  );
}

function parse(value: string): z.infer<typeof requestInfoSchema> | null {
  if (value.length > informationCharactersMax) return null;
  try {
    return requestInfoSchema.safeParse(JSON.parse(value)).data ?? null;
  } catch {
    // No JSON: a claim that says nothing.
    return null;
  }
}

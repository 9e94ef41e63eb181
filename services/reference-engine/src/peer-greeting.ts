import { decode, encode, incarnationSchema, rankSchema, standingSchema } from '@isobar/protocol';
import { z } from 'zod';

/*
 * How ranks greet. The first frame of every connection is the dialler's greeting; on a
 * connection for the forward pass the other side greets back, or says why it refuses.
 */

const purposeSchema = z.enum(['forward', 'weights']);
export type PeerPurpose = z.infer<typeof purposeSchema>;

const greetingSchema = z.object({
  schema: z.literal(1),
  kind: z.literal('greeting'),
  purpose: purposeSchema,
  rank: rankSchema,
  incarnation: incarnationSchema,
  /** `starting`: not known yet whether it is of a new group or joins. */
  standing: z.enum(['starting', ...standingSchema.options]),
  /** The last step that it took part in, −1 before the first. */
  step: z.number().int().min(-1).max(0xffff_ffff),
  committedVersion: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});

/** Who an engine is and how far, as it tells its peers. */
export type PeerGreeting = Readonly<z.infer<typeof greetingSchema>>;

const replySchema = z.discriminatedUnion('kind', [
  greetingSchema,
  z.object({ schema: z.literal(1), kind: z.literal('refused'), reason: z.string().max(200) }),
]);
export type GreetingReply = Readonly<z.infer<typeof replySchema>>;

export function encodeGreeting(greeting: GreetingReply): Uint8Array {
  return encode(greeting);
}

/** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED */
export function decodeGreeting(body: Uint8Array): PeerGreeting {
  return decode('peer greeting', body, greetingSchema);
}

/** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED */
export function decodeGreetingReply(body: Uint8Array): GreetingReply {
  return decode('answer to a peer greeting', body, replySchema);
}

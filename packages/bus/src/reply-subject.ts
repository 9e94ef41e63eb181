/**
 * Whether a message's reply subject is an inbox, or the server's own for a request that crosses
 * accounts. Senders choose it freely and servers don't check it: whoever answered to any subject
 * would publish there, with its own permissions, for a sender that lacks them; a record could be
 * overwritten that way.
 */
export function isInbox(reply: string | undefined): boolean {
  return reply !== undefined && (reply.startsWith('_INBOX') || reply.startsWith('_R_.'));
}

import type { WaveRoom } from '@isobar/eplb';
import { decodeTransfers, includesMember, type Member, type Proposal } from '@isobar/protocol';
import { RuleViolation } from './rule-violation.js';

/**
 * A change is cut into waves that messages have room for. Excepted are a part of one layer, which can't be
 * cut; what an engine that is listed for the first time begins with; and what a rank has itself.
 */
export function checkRoom(
  { version, members: listed, layers, transfers }: Proposal,
  members: readonly Member[],
  { bytesMax, layerBytes, moveBytes }: WaveRoom,
  who: string,
): void {
  // Without room for any move nothing is cut: it is begun where it fits all the same.
  if (layerBytes + moveBytes > bytesMax || layers.length <= 1) return;
  const begins = listed.filter((member) => !includesMember(members, member));
  const all = decodeTransfers(transfers);
  const whole = all.filter(
    ({ destinationRank: rank, sourceRank }) =>
      rank === sourceRank || begins.some((member) => member.rank === rank),
  );
  const moves = all.filter((transfer) => !whole.includes(transfer));
  const cut = layers.filter((changed) => whole.every(({ layer }) => layer !== changed));
  const bytes = cut.length * layerBytes + moves.length * moveBytes;
  if (bytes <= bytesMax) return;
  throw new RuleViolation(
    'room',
    `${who} proposes ${moves.length} moves in ${cut.length} layers as version ${version}, ${bytes} bytes in a message with room for ${bytesMax}`,
  );
}

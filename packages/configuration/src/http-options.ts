import { parseListenAddress } from './listen-address.js';
import { optional, text } from './option.js';
import { filledByDigits, templateSchema } from './placeholders.js';

export const httpOptions = {
  listen: optional(
    text({
      schema: templateSchema.refine((value) => parseListenAddress(filledByDigits(value)) !== null),
      expected: '`HOST:PORT`, with no placeholder but {rank} and {localRank}',
      atRunTime: 'restart',
      meaning:
        'Where a process answers `/livez`, `/readyz` and `/metrics`. Placeholders as in `agent.engine`, so that agents of one node can share a file: `0.0.0.0:948{localRank}`; a coordinator’s are 0. No port is opened where there is none. An agent that is not ready is no reason to take requests from its engine, which serves on without it.',
    }),
  ),
};

import type { DeliberateFault, TextEdit } from './deliberate-fault.js';

/** Small groups come to the same places in less time. */
const few = { numRanks: 3, seedsMax: 200 } as const;

/** An agent gives its engine what it kept from before, whoever that was for. */
const keptIsOrdered: TextEdit = {
  file: 'swap/rank-commands.js',
  find: '    const outcome = heard.find((known) => isOutstanding(engine.state, known) && concerns(telling, known));',
  replace:
    '    const outcome = [...durable.outcomes, ...heard].find((known) => isOutstanding(engine.state, known));',
};

/** Every fault that the simulator has been seen to catch, and must go on catching. */
export const deliberateFaults: readonly DeliberateFault[] = [
  {
    name: 'do a command again that is known',
    ...few,
    edits: [
      {
        file: 'coordinator/operation-checks.js',
        find: '    if (known === undefined) {',
        replace: `    if (known !== undefined && known.digest === command.digest) return null;
    if (known === undefined) {`,
      },
    ],
  },
  {
    name: 'an agent orders its engine what it kept, and any peer is heard',
    numRanks: 4,
    seedsMax: 400,
    edits: [
      keptIsOrdered,
      {
        file: 'swap/engine-outcomes.js',
        find: '    if (isNews(state, record) && !isHeard(state, from)) {',
        replace: '    if (false) {',
      },
    ],
  },
  {
    name: 'an agent orders its engine what it kept',
    numRanks: 4,
    seedsMax: 400,
    edits: [keptIsOrdered],
  },
  {
    name: 'members change without a look at what messages hold',
    seedsMax: 200,
    edits: [
      {
        file: 'membership/membership.js',
        find: '...placing, ...known, room, ...fields };',
        replace: '...placing, ...known, ...fields };',
      },
    ],
  },
  {
    name: 'forget cuts at the switch, before the version is retired',
    ...few,
    edits: [
      {
        file: 'swap/engine-swap.js',
        find: '    return { ...state, mappingVersion: version, switchingTo: null };',
        replace:
          '    return { ...state, mappingVersion: version, switchingTo: null, cuts: cutsNeeded(state) };',
      },
    ],
  },
  {
    name: 'skip the fence',
    ...few,
    edits: [
      {
        file: 'fence.js',
        find: '    return incoming.term < highest.term || incoming.nonce !== highest.nonce;',
        replace: '    return false;',
      },
    ],
  },
  {
    name: 'compare terms without the nonce',
    ...few,
    edits: [
      {
        file: 'fence.js',
        find: '    return incoming.term < highest.term || incoming.nonce !== highest.nonce;',
        replace: '    return incoming.term < highest.term;',
      },
    ],
  },
  {
    name: 'commit on a majority of votes',
    ...few,
    edits: [
      {
        file: 'swap/coordinator-swap.js',
        find: '    if (open === null || missingMembers(open, state.dead, state.reports).length > 0) {',
        replace: `    const isMajority = open?.phase === 'preparing' && 2 * open.votes.size > open.voters.length;
    const isMissing = open === null || missingMembers(open, state.dead, state.reports).length > 0;
    if (open === null || (isMissing && !isMajority)) {`,
      },
    ],
  },
  {
    name: 'activate before the record',
    ...few,
    edits: [
      {
        file: 'swap/decide.js',
        find: "        effects: [{ kind: 'create-record', version: record.version, bytes: recordBytes }],",
        replace: `        effects: [
            { kind: 'send-outcome', message: { schema: 1, fence: state.fence, record: recordBytes }, ranks: null },
            { kind: 'create-record', version: record.version, bytes: recordBytes },
        ],`,
      },
    ],
  },
  {
    name: 'vote twice for a version',
    ...few,
    edits: [
      {
        file: 'swap/engine-swap.js',
        find: 'return { ...state, staging: null, votedUpTo: Math.max(state.votedUpTo, version) };',
        replace: 'return { ...state, staging: null };',
      },
      {
        file: 'swap/rank-swap.js',
        find: '    if (durable.vote?.version === version)',
        replace: '    if (durable.vote?.version === version && durable.vote.yes)',
      },
      {
        file: 'swap/rank-swap.js',
        find: '    if (version <= durable.votedUpTo || state.staging !== null)',
        replace: '    if (state.staging !== null)',
      },
      {
        file: 'swap/rank-durable.js',
        find: '    if (vote === null || vote.version <= durable.votedUpTo)',
        replace: '    if (vote === null || vote.version < durable.votedUpTo)',
      },
    ],
  },
  {
    name: 'release a vote on the absence of an outcome',
    ...few,
    edits: [
      {
        file: 'swap/rank-engine.js',
        find: 'takeEngineState(witnessing, hello.state)',
        replace: 'takeEngineState(witnessing, voidWhereAbsent(witnessing, hello.state))',
      },
      {
        file: 'swap/rank-engine.js',
        find: '/** What the engine tells of itself;',
        replace: `import { encodeMapRecord } from '../map-record.js';
/** What the engine has voted for, and nobody here knows the outcome of, has come to nothing. */
function voidWhereAbsent({ durable }, engine) {
    const version = engine.vote?.version ?? 0;
    const known = [...engine.outcomes, ...durable.outcomes];
    if (version === 0 || known.some((one) => one.version === version)) return engine;
    const { fence } = engine;
    const record = { schema: 1, outcome: 'void', version, fence, reason: 'nobody knows it' };
    const outcome = { version, outcome: 'void', record: encodeMapRecord(record) };
    return { ...engine, outcomes: [...engine.outcomes, outcome] };
}
/** What the engine tells of itself;`,
      },
    ],
  },
  {
    name: 'trust the store over what ranks have acted on',
    ...few,
    edits: [
      {
        file: 'swap/known-versions.js',
        find: 'new Map([...stored, ...byOthers.outcomes, ...byMembers.outcomes])',
        replace: 'new Map([...byOthers.outcomes, ...byMembers.outcomes, ...stored])',
      },
    ],
  },
  {
    name: 'trust a stale read of the store',
    ...few,
    edits: [
      {
        file: 'swap/known-versions.js',
        find: 'new Map([...stored, ...byOthers.outcomes, ...byMembers.outcomes])',
        replace: 'new Map(stored)',
      },
    ],
  },
  {
    name: 'count a vote of an earlier incarnation',
    ...few,
    edits: [
      {
        file: 'swap/rank-steps.js',
        find: '        vote.incarnation === engine?.description.incarnation &&\n',
        replace: '',
      },
      {
        file: 'swap/open-swap.js',
        find: '    if (!voters.some((voter) => sameMember(voter, vote)))',
        replace: '    if (false)',
      },
    ],
  },
  {
    name: 'forget a vote in a restart',
    ...few,
    edits: [
      {
        file: 'swap/rank-state.js',
        find: '        durable,\n        engine: null,',
        replace:
          '        durable: { ...durable, vote: null, votedUpTo: 0 },\n        engine: null,',
      },
    ],
  },
  {
    name: 'go on with part of the answers at takeover',
    ...few,
    edits: [
      {
        file: 'swap/takeover.js',
        find: `    if (missing.length > 0)
        return waiting(state, missing);`,
        replace: `    if (2 * missing.length > state.configuredRanks.length)
        return waiting(state, missing);`,
      },
      {
        file: 'swap/takeover-words.js',
        find: '    return weighed.awaited.size - answered > deaths;',
        replace: '    return false;',
      },
    ],
  },
  {
    name: 'ask without raising the term',
    ...few,
    edits: [
      {
        file: 'swap/rank-swap.js',
        find: "    return fenced(state, query.fence, { order: 'query', version: null }, (raised) => {",
        replace: '    return ((act) => act(state))((raised) => {',
      },
      {
        file: 'swap/takeover.js',
        find: '    const isUnderTerm = sameFence(answer.fence, state.fence) &&',
        replace: '    const isUnderTerm = true || sameFence(answer.fence, state.fence) &&',
      },
    ],
  },
  {
    name: 'answer for the engine before it is asked',
    ...few,
    edits: [
      {
        file: 'swap/rank-steps.js',
        find: '    const raised = sameFence(engine.state.fence, fence);',
        replace: '    const raised = true;',
      },
      {
        file: 'swap/takeover.js',
        find: '        (answer.engine === null || sameFence(answer.engine.state.fence, state.fence));',
        replace: '        true;',
      },
    ],
  },
  {
    name: 'retire before all have activated',
    ...few,
    edits: [
      {
        file: 'swap/open-swap.js',
        find: '            return !open.activated.has(incarnation);',
        replace: '            return 2 * open.activated.size < open.voters.length;',
      },
    ],
  },
  {
    name: 'settle a timed-out creation by its absence in a read',
    ...few,
    edits: [
      {
        file: 'swap/coordinator-swap.js',
        find: '            // Settled by creating again, at the next tick: never by a read.\n            return unchanged(state);',
        replace: `            if (state.open === null) return unchanged(state);
            {
                const decided = decideVoid(state, state.open, 'its record is not there', nowMs).state;
                return onRecordCreated(decided, event.version, nowMs);
            }`,
      },
    ],
  },
  {
    name: 'take a creation in doubt for done',
    ...few,
    edits: [
      {
        file: 'swap/coordinator-swap.js',
        find: '            // Settled by creating again, at the next tick: never by a read.\n            return unchanged(state);',
        replace: '            return onRecordCreated(state, event.version, nowMs);',
      },
    ],
  },
  {
    name: 'take a silent rank for dead',
    ...few,
    edits: [
      {
        file: 'membership/evidence.js',
        find: '        if (includesMember(evidence.declared, member))',
        replace: `        const silent = [...evidence.witnesses.values()].filter(({ engine }) => (engine?.brokenPeers ?? []).some(({ incarnation }) => incarnation === member.incarnation));
        if (silent.length > 0 && 2 * silent.length >= members.length - 1)
            prove(member, 'declared');
        if (includesMember(evidence.declared, member))`,
      },
    ],
  },
  {
    name: 'count a word before the dead are cut',
    numRanks: 4,
    seedsMax: 200,
    edits: [
      {
        file: 'swap/known-versions.js',
        find: '    return words.filter(({ answer: { rank, engine } }) => deaths.every((death) => engine !== null && isSevered(rank, engine.state, death)));',
        replace: '    return words;',
      },
      {
        file: 'swap/takeover.js',
        find: '    const toCut = [...watched.toCut, ...membersToSever(state)];',
        replace: '    const toCut = watched.toCut;',
      },
    ],
  },
  {
    name: 'let a minority cut a member',
    ...few,
    edits: [
      {
        file: 'membership/agreed-by-others.js',
        find: '    const isNamedByMost = (candidate) => 2 * names.filter((word) => includesMember(word.named, candidate)).length > members.length;',
        replace:
          '    return living.filter((candidate) => names.some((word) => includesMember(word.named, candidate)));\n    const isNamedByMost = () => false;',
      },
    ],
  },
  {
    name: 'cut though the others can not hold every expert',
    numRanks: 8,
    seedsMax: 400,
    edits: [
      {
        file: 'membership/watch-losses.js',
        find: '    return canHoldAll(mapping, evidence, members, wanted) ? wanted : asked;',
        replace: '    return wanted;',
      },
    ],
  },
  {
    name: 'route before listed',
    ...few,
    edits: [
      {
        file: 'swap/engine-outcomes.js',
        find: "    return { state: { ...adopted, ...followed }, action: 'adopt', discarded: open ?? null };",
        replace:
          "    return { state: { ...adopted, ...followed, standing: 'serving', mappingVersion: version }, action: 'adopt', discarded: open ?? null };",
      },
    ],
  },
  {
    name: 'vote before it is written',
    ...few,
    edits: [
      {
        file: 'swap/rank-engine.js',
        find: '    return chain(keep(state, { ...durable, vote, votedUpTo: version }), (kept) => repeatVote(kept, proposal));',
        replace: `    const kept = keep(state, { ...durable, vote, votedUpTo: version });
    const sent = repeatVote(kept.state, proposal);
    return { state: sent.state, effects: [...sent.effects, ...kept.effects] };`,
      },
    ],
  },
  {
    name: 'begin a group anew though one that started with it may live',
    numRanks: 8,
    seedsMax: 200,
    edits: [
      {
        file: 'membership/membership.js',
        find: '    if (members.length > 0)',
        replace: '    if (false)',
      },
    ],
  },
  {
    name: 'fetch from a source that has failed, again and again',
    ...few,
    edits: [
      {
        file: 'leader/leader-step.js',
        find: '    state.distrusted = [...new Set([...state.distrusted, ...failedSources(before)])];',
        replace: '    state.distrusted = [];',
      },
    ],
  },
  {
    name: 'bring experts into slots that are not offered',
    seedsMax: 200,
    edits: [
      {
        file: 'membership/membership.js',
        find: 'closedSlots: closedSlotsOf(situation), pinnedSlots',
        replace: 'closedSlots: new Int32Array(0), pinnedSlots',
      },
    ],
  },
  {
    name: 'let two agents open one disk',
    numRanks: 3,
    // Two agents of a rank that both vote are rare.
    seedsMax: 600,
    edits: [],
    shell: { shareDisks: true },
  },
  {
    name: 'drop the digest check',
    seedsMax: 200,
    edits: [],
    shell: { skipDigestCheck: true },
  },
  {
    name: "release a vote on the rank's own reading of the store",
    ...few,
    edits: [],
    shell: { agentsReadStore: true },
  },
  {
    name: 'overwrite a record',
    ...few,
    edits: [],
    shell: { overwriteRecords: true },
  },
  {
    name: 'serve a version only once it is routed by',
    ...few,
    edits: [],
    shell: { serveAfterSwitch: true },
  },
  {
    name: 'activated while old tokens are under way',
    ...few,
    edits: [],
    shell: { activatedAtOnce: true },
  },
  {
    name: 'an answer from an earlier connection is taken',
    seedsMax: 200,
    edits: [],
    shell: { hearEarlierConnections: true },
  },
  {
    name: 'switch in place without the others',
    ...few,
    activation: 'in-place',
    edits: [],
    shell: { switchAlone: true },
  },
];

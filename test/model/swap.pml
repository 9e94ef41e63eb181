/*
 * Votes, the version log and leadership of the swap (packages/protocol/src/swap), small enough
 * to be searched exhaustively by Spin. docs/PROTOCOL.md says how to run it and what it leaves out.
 *
 * Modelled
 * - LEADERSHIPS: each is one term of one coordinator process, with a nonce of its own, so two
 *   may have the same term. A leadership may stop or pause at any step, for ever or until after
 *   others have led, since no step is ever forced; it may wake without knowing.
 * - RANKS: an agent and its engine as one. Staging is volatile; fence, vote and outcomes are
 *   durable and survive a restart.
 * - Messages: whatever was sent once may arrive at any later time, any number of times, in any
 *   order, or never. A message is therefore not kept in a channel but read from what its sender
 *   had said: `prepared`, `known` of a leadership that has begun to lead, `outcome` of a peer.
 *   An answer or a vote is written at once into the leadership's state, which may use it at any
 *   later time: a delayed message.
 * - The store: creation fails where a record is present; a write that timed out stays `pending`
 *   and lands late or never, also after its leadership has retried or gone; an acknowledged
 *   record, whichever, is lost up to STORE_LOSSES times. A leadership reads the store once, at
 *   its start, perhaps an old state; so what it knows of it is stale when it decides.
 * - Takeover: asks every rank, being asked raises the rank's fence; re-creates what ranks know
 *   and the store has lost; decides open numbers from all votes, the proposal and its base.
 *
 * - DEATHS: the last rank is vouched for as dead, though it lives, as seen from its peers: it goes on
 *   as before. A leadership may learn so as it begins, while it asks, which then begins anew, or
 *   while it leads. It does without that rank's word and vote, and has all others cut it. The
 *   rules hold for the others, among themselves.
 *
 * Left out: other changes of membership, and incarnations (members are fixed), weights and their digests (a
 * proposal's digest is its leadership), retire, lease timing (anybody may start to lead at any
 * time), liveness.
 *
 * Checked, as assertions: S1 in `act`, `settle` and `land`; S2 in `act`; S3 in `accept` and
 * `castVote`; S6 in `act`: a member finds every commit staged and its vote standing, which is so
 * only if nothing but an outcome ever released it; no lost commit in `settle` and `takenOver`.
 *
 * Sizes: LEADERSHIPS, RANKS, VERSIONS, STORE_LOSSES, DEATHS (0 or 1).
 * MUTATION_…: faults in the protocol, one at a time.
 * OUTCOMES_ONLY leaves out the assertions of `accept`, `castVote` and `takenOver`, so that a
 * mutation counts as caught only where a rank or the store comes to a wrong outcome.
 * PROBE_… asserts that a situation never arises; Spin must refute it, which shows that the model
 * gets there.
 * VARIANT_…: changes that break no rule.
 */

#ifndef LEADERSHIPS
#define LEADERSHIPS 2
#endif
#ifndef RANKS
#define RANKS 2
#endif
#ifndef VERSIONS
#define VERSIONS 1
#endif
#ifndef STORE_LOSSES
#define STORE_LOSSES 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

/* An outcome: 0 unknown, VOID, or COMMITTED(digest). The digest of a proposal is the number of
   the leadership that made it, 1 to LEADERSHIPS. */
#define VOID 1
#define COMMITTED(digest) ((digest) + 1)
#define isCommitted(outcome) ((outcome) > VOID)

/* A ballot names a version and a digest in one byte; 0 is none. */
#define BALLOT(version, digest) (((version) - 1) * LEADERSHIPS + (digest))
#define versionOf(ballot) (((ballot) - 1) / LEADERSHIPS + 1)
#define digestOf(ballot) (((ballot) - 1) % LEADERSHIPS + 1)
/* Ballots as they stand in an answer; 0 there is: not answered. */
#define ANSWERED(ballot) ((ballot) + 1)
#define ballotIn(answer) ((answer) - 1)

#define LV(leadership, version) (((leadership) - 1) * VERSIONS + (version) - 1)
#define LR(leadership, rank) (((leadership) - 1) * RANKS + (rank))
#define RV(rank, version) ((rank) * VERSIONS + (version) - 1)

/* Phases of a leadership, in order: from LEADING on it tells what it knows. */
#define UNBORN 0
#define ASKING 1
#define TAKING_OVER 2
#define LEADING 3
#define PREPARING 4
#define DECIDING 5
#define DEPOSED 6
/* It never led, and tells nothing. */
#define FAILED 7

/* The store. */
byte record[VERSIONS];
byte pending[LEADERSHIPS * VERSIONS];
byte losses;
/* Ghost: outcomes that were ever created, as a set of bits by version. */
byte created[VERSIONS];

/* Leaderships, 1 to LEADERSHIPS. */
byte phase[LEADERSHIPS + 1];
byte term[LEADERSHIPS + 1];
byte next[LEADERSHIPS + 1];     /* the next number to propose */
byte open[LEADERSHIPS + 1];     /* the version in hand, 0 for none */
byte intent[LEADERSHIPS + 1];   /* the outcome it tries to create */
byte prepared[LEADERSHIPS + 1]; /* versions it has proposed, as bits */
byte based[LEADERSHIPS + 1];    /* versions of those whose base is version 1, as bits */
byte known[LEADERSHIPS * VERSIONS]; /* read in the store; once leading: what it tells */
byte told[LEADERSHIPS * VERSIONS];  /* outcomes that ranks' answers say were acted on */
byte answer[LEADERSHIPS * RANKS];
bit tally[LEADERSHIPS * RANKS];     /* yes votes for the open version */

/* Ranks, 0 to RANKS - 1. */
byte fence[RANKS];   /* the leadership whose (term, nonce) is the highest accepted */
byte staging[RANKS]; /* ballot; volatile */
byte vote[RANKS];    /* ballot of the yes vote that awaits its outcome */
byte votedUpTo[RANKS];
byte outcome[RANKS * VERSIONS];
#if DEATHS
bit doesWithout[LEADERSHIPS + 1]; /* leaderships that hold the last rank for dead */
bit severed[LEADERSHIPS * RANKS]; /* answers given after the cut */
bit cut[RANKS];                   /* ranks that have cut it, for good */
bit isCountedOut;                 /* ghost: some leadership does without it */
#endif
#ifndef OUTCOMES_ONLY
/* Ghosts: what a rank has accepted and voted for, whatever it forgets. */
byte everAccepted[RANKS];
byte everVotedUpTo[RANKS];
#endif

/* Rule S3: a lower term is refused, and an equal term under another nonce. */
#if defined(MUTATION_SKIP_FENCE)
#define isFenced(highest, leadership) false
#elif defined(MUTATION_COMPARE_TERMS_WITHOUT_NONCE)
#define isFenced(highest, leadership) (term[leadership] < term[highest])
#else
#define isFenced(highest, leadership) \
  ((highest) != (leadership) && term[leadership] <= term[highest])
#endif
#define isFencedByRule(highest, leadership) \
  ((highest) != (leadership) && term[leadership] <= term[highest])

#define hasCommittedFirst(rank) (isCommitted(outcome[RV(rank, 1)]))
#if VERSIONS == 1
#define newestIsBase(rank, leadership, version) true
#else
#define newestIsBase(rank, leadership, version) \
  ((version) == 1 || hasCommittedFirst(rank) == ((based[leadership] >> (version)) & 1))
#endif

#if VERSIONS == 1
#define baseIsNewest(self, version, digest) true
#else
#define baseIsNewest(self, version, digest) \
  ((version) == 1 || isCommitted(known[LV(self, 1)]) == ((based[digest] >> (version)) & 1))
#endif

#ifdef MUTATION_GO_ON_WITH_PART_OF_THE_ANSWERS
#define answersEnough(count) ((count) >= RANKS - 1)
#else
#define answersEnough(count) ((count) == RANKS)
#endif
#ifdef MUTATION_COMMIT_ON_MAJORITY
#define votesEnough(count) (2 * (count) >= RANKS)
#else
#define votesEnough(count) ((count) == RANKS)
#endif
#if DEATHS
#define isDeadTo(self, rank) (doesWithout[self] && (rank) == RANKS - 1)
#define isOut(rank) (isCountedOut && (rank) == RANKS - 1)
#ifdef MUTATION_COUNT_WORDS_BEFORE_CUT
#define wordCounts(self, rank) true
#else
#define wordCounts(self, rank) (!doesWithout[self] || severed[LR(self, rank)])
#endif
/* Peers that have cut the last rank hear nothing of it any more. */
#define hears(rank, teller) (!((teller) == RANKS - 1 && cut[rank]))
#define mayCount(self, rank) (!doesWithout[self] || cut[rank])
#define isAskedAgain(self, rank) (doesWithout[self] && cut[rank] && !severed[LR(self, rank)])
#define voters(self) (RANKS - doesWithout[self])
#else
#define isDeadTo(self, rank) false
#define isOut(rank) false
#define wordCounts(self, rank) true
#define hears(rank, teller) true
#define mayCount(self, rank) true
#define isAskedAgain(self, rank) false
#define voters(self) RANKS
#endif

#define isHeard(self, rank) \
  (isDeadTo(self, rank) || (answer[LR(self, rank)] != 0 && wordCounts(self, rank)))
#define hasVoted(self, rank) (isDeadTo(self, rank) || tally[LR(self, rank)])
#if RANKS == 2
#define hasAnswers(self) answersEnough(isHeard(self, 0) + isHeard(self, 1))
#define hasVotes(self) votesEnough(hasVoted(self, 0) + hasVoted(self, 1))
#elif RANKS == 3
#define hasAnswers(self) answersEnough(isHeard(self, 0) + isHeard(self, 1) + isHeard(self, 2))
#define hasVotes(self) votesEnough(hasVoted(self, 0) + hasVoted(self, 1) + hasVoted(self, 2))
#else
#error "RANKS is 2 or 3"
#endif

/* A rank, unless it is counted out, has not acted on another outcome of the version. */
#define agrees(rank, version, value) \
  (outcome[RV(rank, version)] == 0 || outcome[RV(rank, version)] == (value) || isOut(rank))

/* Scratch within one step; no part of the state. */
hidden byte other, version, yes, ballots, fenced;

/* A rank takes a message of a leadership. */
inline accept(rank, leadership) {
#ifndef OUTCOMES_ONLY
  /* S3: nothing fenced is accepted, by the highest fence that was ever accepted. */
  assert(!isFencedByRule(everAccepted[rank], leadership));
  everAccepted[rank] = leadership;
#endif
  fence[rank] = leadership
}

/* A rank acts on an outcome: it is durable, releases the vote, and if committed activates. */
inline act(rank, version, value) {
  printf("rank %d acts on version %d, outcome %d\n", rank, version, value);
  /* S1: no two ranks act on different outcomes of a version. */
  other = 0;
  do
  :: other < RANKS ->
    assert(agrees(other, version, value) || isOut(rank));
    other++
  :: else -> break
  od;
  /* S2, and the same of voids: what is acted on was created so. */
  assert((created[(version) - 1] >> (value)) & 1);
  /* S1: unless the store lost it, the record says so still. */
  assert(losses > 0 || record[(version) - 1] == (value));
  /* S6: a member finds every commit staged and its yes vote standing. */
  assert(!isCommitted(value) || vote[rank] == BALLOT(version, (value) - 1) || isOut(rank));
  outcome[RV(rank, version)] = value;
  if :: vote[rank] != 0 && versionOf(vote[rank]) == (version) -> vote[rank] = 0 :: else fi;
  if :: staging[rank] != 0 && versionOf(staging[rank]) == (version) -> staging[rank] = 0 :: else fi;
  if :: votedUpTo[rank] < (version) -> votedUpTo[rank] = version :: else fi;
#ifdef PROBE_ALL_COMMITTED
  other = 0;
  do
  :: other < RANKS && isCommitted(outcome[RV(other, VERSIONS)]) -> other++
  :: else -> break
  od;
  assert(other < RANKS);
#endif
#ifdef PROBE_CONTRADICTED_RECORD
  assert(record[(version) - 1] == 0 || record[(version) - 1] == (value));
#endif
}

/* A record comes into being, or the write is refused. */
inline land(version, value) {
#ifdef MUTATION_OVERWRITE_RECORD
  record[(version) - 1] = value;
#else
  assert(record[(version) - 1] == 0);
  record[(version) - 1] = value;
#endif
  created[(version) - 1] = created[(version) - 1] | (1 << (value));
  /* S1: a store that has lost nothing never comes to contradict what a rank acted on. */
  other = 0;
  do
  :: other < RANKS ->
    assert(losses > 0 || agrees(other, version, value));
    other++
  :: else -> break
  od;
  skip
}

#ifdef MUTATION_OVERWRITE_RECORD
#define canCreate(version) true
#else
#define canCreate(version) (record[(version) - 1] == 0)
#endif

/* What a new leadership makes of a version, once all have answered; into `intent`, 0 where
   nothing is to be created. */
inline plan(self, version) {
  intent[self] = 0;
  if
  :: told[LV(self, version)] != 0 ->
    /* What a rank has acted on outranks the store, and is created again where that lost it. */
    if
    :: told[LV(self, version)] != known[LV(self, version)] ->
      intent[self] = told[LV(self, version)]
    :: else
    fi
  :: told[LV(self, version)] == 0 && known[LV(self, version)] == 0 ->
    ballots = 0;
    yes = 0;
    other = 0;
    do
    :: other < RANKS ->
      if
      :: answer[LR(self, other)] > 1 && versionOf(ballotIn(answer[LR(self, other)])) == (version) ->
        yes++;
        if
        :: ballots == 0 -> ballots = ballotIn(answer[LR(self, other)])
        :: ballots != 0 && ballots != ballotIn(answer[LR(self, other)]) -> yes = RANKS + 1
        :: else
        fi
      :: else
      fi;
      other++
    :: else -> break
    od;
    if
    :: yes == voters(self) && baseIsNewest(self, version, digestOf(ballots)) ->
      intent[self] = COMMITTED(digestOf(ballots))
    :: ballots != 0 && !(yes == voters(self) && baseIsNewest(self, version, digestOf(ballots))) ->
      intent[self] = VOID
    :: ballots == 0
    fi
  :: else
  fi
}
/* Goes on to the next version that has something to create, or begins to lead. */
inline planOn(self) {
  do
  :: open[self] <= VERSIONS ->
    plan(self, open[self]);
    if
    :: intent[self] != 0 -> break
    :: else -> open[self]++
    fi
  :: else -> break
  od;
  if
  :: open[self] > VERSIONS -> takenOver(self)
  :: else
  fi
}

inline takenOver(self) {
  open[self] = 0;
  intent[self] = 0;
  phase[self] = LEADING;
  other = 0;
  do
  :: other < RANKS ->
    answer[LR(self, other)] = 0;
#if DEATHS
    severed[LR(self, other)] = 0;
#endif
    other++
  :: else -> break
  od;
  /* No lost commit: whoever leads, unfenced, knows everything that a rank has acted on. */
  fenced = false;
  version = 1;
  other = 0;
  do
  :: other < RANKS ->
    fenced = fenced || (isFencedByRule(fence[other], self) && !isOut(other));
    other++
  :: else -> break
  od;
  do
  :: version <= VERSIONS ->
    told[LV(self, version)] = 0;
    if
    :: known[LV(self, version)] != 0 && next[self] <= version -> next[self] = version + 1
    :: else
    fi;
    other = 0;
    do
    :: other < RANKS ->
#ifndef OUTCOMES_ONLY
      assert(fenced || agrees(other, version, known[LV(self, version)]));
#endif
      other++
    :: else -> break
    od;
    version++
  :: else -> break
  od;
  skip
}

/* The open version is settled as `value`, for this leadership. */
inline settle(self, value) {
  known[LV(self, open[self])] = value;
#ifdef PROBE_COMMIT_UNDER_FENCE
  other = 0;
  do
  :: other < RANKS -> assert(!isCommitted(value) || agrees(other, open[self], value)); other++
  :: else -> break
  od;
#endif
  /* No lost commit, no second outcome: a rank that has acted otherwise refuses this leadership,
     and even that needs a store that has lost a record. */
  other = 0;
  do
  :: other < RANKS ->
    assert(agrees(other, open[self], value) ||
      (losses > 0 && isFencedByRule(fence[other], self)));
    other++
  :: else -> break
  od;
  if
  :: phase[self] == TAKING_OVER ->
#ifdef PROBE_RECOVERED_COMMIT
    assert(!isCommitted(value) || told[LV(self, open[self])] != 0);
#endif
#ifdef PROBE_COMMIT_WITHOUT_THE_DEAD
    assert(!isCommitted(value) || told[LV(self, open[self])] != 0 || !doesWithout[self]);
#endif
#ifdef PROBE_RECREATED
    assert(told[LV(self, open[self])] == 0);
#endif
    open[self]++;
    planOn(self)
  :: else ->
    open[self] = 0;
    intent[self] = 0;
    phase[self] = LEADING
  fi
}

inline decide(self, value) {
  printf("leadership %d decides version %d: outcome %d\n", self, open[self], value);
  intent[self] = value;
  phase[self] = DECIDING;
#ifdef MUTATION_ACTIVATE_BEFORE_RECORD
  known[LV(self, open[self])] = value;
#endif
  other = 0;
  do
  :: other < RANKS -> tally[LR(self, other)] = 0; other++
  :: else -> break
  od;
  skip
}

#define isCreating(self) (phase[self] == TAKING_OVER || phase[self] == DECIDING)

/* Begins: reads the store, or an old state of it that had nothing yet. */
inline begin(self, ownTerm, isStale) {
  phase[self] = ASKING;
  printf("leadership %d begins, term %d\n", self, ownTerm);
  term[self] = ownTerm;
  next[self] = 1;
  version = 1;
  do
  :: version <= VERSIONS ->
    if
    :: record[version - 1] != 0 && !(isStale) ->
      known[LV(self, version)] = record[version - 1];
      next[self] = version + 1
    :: else
    fi;
    version++
  :: else -> break
  od;
  skip
}
#define mayBegin(self) (phase[self] == UNBORN && (self == 1 || phase[self - 1] != UNBORN))

#if DEATHS
/* Somebody's word: the last rank is dead. What is decided without it is decided from now on. */
inline learnDeath(self) {
  printf("leadership %d learns that rank %d is dead\n", self, RANKS - 1);
  doesWithout[self] = 1;
  isCountedOut = 1;
  /* A takeover begins anew. */
  version = 1;
  do
  :: phase[self] == ASKING && version <= VERSIONS -> told[LV(self, version)] = 0; version++
  :: else -> break
  od;
  other = 0;
  do
  :: other < RANKS -> answer[LR(self, other)] = 0; severed[LR(self, other)] = 0; other++
  :: else -> break
  od;
  skip
}
#endif

proctype Leadership(byte self) {
end:
  do
#if DEATHS
  :: d_step {
      (phase[self] == ASKING || phase[self] == LEADING) && !doesWithout[self] -> learnDeath(self)
    }
#endif
  /* Its term is one above the highest so far, or equal to it, when two look at once. A lower
     one could never gather all answers. */
  :: d_step { mayBegin(self) -> begin(self, term[self - 1] + 1, false) }
  :: d_step { mayBegin(self) -> begin(self, term[self - 1] + 1, true) }
  :: d_step { mayBegin(self) && self > 1 -> begin(self, term[self - 1], false) }
  :: d_step { mayBegin(self) && self > 1 -> begin(self, term[self - 1], true) }

  /* Every rank has answered under this leadership's own fence. */
  :: d_step {
      phase[self] == ASKING && hasAnswers(self) ->
      printf("leadership %d has its answers\n", self);
      phase[self] = TAKING_OVER;
      open[self] = 1;
      planOn(self)
    }

  /* Proposes. */
  :: d_step {
      phase[self] == LEADING && next[self] <= VERSIONS ->
      open[self] = next[self];
      printf("leadership %d proposes version %d\n", self, open[self]);
      next[self]++;
      prepared[self] = prepared[self] | (1 << open[self]);
      if
      :: open[self] > 1 && isCommitted(known[LV(self, 1)]) ->
        based[self] = based[self] | (1 << open[self])
      :: else
      fi;
      phase[self] = PREPARING
    }

  /* Decides: committed with every vote, void whenever it likes (deadline, cancel, a no). */
  :: d_step { phase[self] == PREPARING && hasVotes(self) -> decide(self, COMMITTED(self)) }
  :: d_step { phase[self] == PREPARING -> decide(self, VOID) }

  /* Creates: done and acknowledged; */
  :: d_step {
      isCreating(self) && canCreate(open[self]) ->
      printf("leadership %d creates version %d, outcome %d: acknowledged\n",
        self, open[self], intent[self]);
      land(open[self], intent[self]);
      settle(self, intent[self])
    }
  /* timed out, to land later or never; */
  :: d_step {
      isCreating(self) && pending[LV(self, open[self])] != intent[self] ->
      printf("leadership %d creates version %d, outcome %d: timed out\n",
        self, open[self], intent[self]);
      pending[LV(self, open[self])] = intent[self]
    }
#ifdef MUTATION_SETTLE_TIMED_OUT_CREATE_BY_READ
  /* (fault) timed out, and a read finds nothing: taken to have failed; */
  :: d_step {
      phase[self] == DECIDING && pending[LV(self, open[self])] != 0 &&
      record[open[self] - 1] == 0 ->
      printf("leadership %d reads no record of version %d\n", self, open[self]);
      settle(self, VOID)
    }
#endif
  /* refused: the same record is there, by an earlier attempt of its own or another's; */
  :: d_step {
      isCreating(self) && record[open[self] - 1] == intent[self] ->
      printf("leadership %d creates version %d: refused, its outcome is there\n", self, open[self]);
      settle(self, intent[self])
    }
  /* refused: another outcome is there. */
  :: d_step {
      isCreating(self) && record[open[self] - 1] != 0 && record[open[self] - 1] != intent[self] ->
      printf("leadership %d creates version %d: refused, outcome %d is there\n",
        self, open[self], record[open[self] - 1]);
      if
      :: phase[self] == DECIDING -> phase[self] = DEPOSED; open[self] = 0; intent[self] = 0
      :: phase[self] == TAKING_OVER && told[LV(self, open[self])] != 0 -> settle(self, intent[self])
      :: else -> settle(self, record[open[self] - 1])
      fi
    }
  od
}

#ifdef MUTATION_STORE_OUTRANKS_RANKS
#define ranksOutrank(leadership, version) (known[LV(leadership, version)] == 0)
#else
#define ranksOutrank(leadership, version) true
#endif

inline answerTo(self, leadership) {
  answer[LR(leadership, self)] = ANSWERED(vote[self]);
#if DEATHS
  severed[LR(leadership, self)] = cut[self];
#endif
  version = 1;
  do
  :: version <= VERSIONS ->
    if
    :: outcome[RV(self, version)] != 0 ->
      if
#if DEATHS
      /* Who is cut has acted otherwise, and the word of its death is lost: an operator must decide. */
      :: told[LV(leadership, version)] != 0 &&
        told[LV(leadership, version)] != outcome[RV(self, version)] ->
        phase[leadership] = FAILED
#endif
      :: ranksOutrank(leadership, version) ->
        told[LV(leadership, version)] = outcome[RV(self, version)]
      :: else
      fi
    :: else
    fi;
    version++
  :: else -> break
  od;
  if :: next[leadership] <= votedUpTo[self] -> next[leadership] = votedUpTo[self] + 1 :: else fi
}

/* Staged and verified: the vote is durable before it is told. */
inline castVote(self, yes) {
  printf("rank %d votes %d on version %d\n", self, yes, versionOf(staging[self]));
#ifndef OUTCOMES_ONLY
  /* S3: one vote for a version. */
  assert(everVotedUpTo[self] < versionOf(staging[self]));
  everVotedUpTo[self] = versionOf(staging[self]);
#endif
  if :: yes -> vote[self] = staging[self] :: else -> vote[self] = 0 fi;
  if
  :: votedUpTo[self] < versionOf(staging[self]) -> votedUpTo[self] = versionOf(staging[self])
  :: else
  fi;
  staging[self] = 0
}

#ifdef MUTATION_VOTE_TWICE
#define mayStage(self, version, leadership) \
  (outcome[RV(self, version)] == 0 && \
   (vote[self] == 0 || vote[self] == BALLOT(version, leadership)))
#else
#define mayStage(self, version, leadership) ((version) > votedUpTo[self] && vote[self] == 0)
#endif

#ifdef VARIANT_ANSWER_BEFORE_STAGING_ENDS
#define mayAnswer(self) true
#else
#define mayAnswer(self) (staging[self] == 0)
#endif
#ifdef VARIANT_VOTE_UNDER_PROPOSERS_FENCE
#define votesUnder(self, leadership) true
#else
#define votesUnder(self, leadership) (fence[self] == (leadership))
#endif

#ifdef MUTATION_TELL_RECORDS_BEFORE_ANSWERS
#define TELLING ASKING
#else
#define TELLING LEADING
#endif
#define saysOutcome(leadership, version) \
  (phase[leadership] >= TELLING && phase[leadership] != FAILED && \
   known[LV(leadership, version)] != 0)

/* What may reach a rank of one leadership's messages about one version. */
proctype Link(byte self, leadership, about) {
end:
  do
  /* A question. The fence rises at once; the answer waits until staging has ended, which may
     add a vote. */
  :: d_step {
      about == 1 && phase[leadership] == ASKING && !isDeadTo(leadership, self) &&
      (answer[LR(leadership, self)] == 0 || isAskedAgain(leadership, self)) &&
      !isFenced(fence[self], leadership) ->
#ifndef MUTATION_ASK_WITHOUT_RAISING
      accept(self, leadership);
#endif
      if
      :: mayAnswer(self) ->
        printf("rank %d answers leadership %d\n", self, leadership);
        answerTo(self, leadership)
      :: else
      fi
    }
  /* A proposal, first or repeated. */
  :: d_step {
      ((prepared[leadership] >> about) & 1) && !isFenced(fence[self], leadership) &&
      staging[self] == 0 && mayStage(self, about, leadership) &&
      newestIsBase(self, leadership, about) ->
      accept(self, leadership);
      printf("rank %d stages version %d of leadership %d\n", self, about, leadership);
      staging[self] = BALLOT(about, leadership)
    }
  /* The vote's way back; it is told again whenever the proposal is. */
  :: d_step {
      phase[leadership] == PREPARING && open[leadership] == about &&
      vote[self] == BALLOT(about, leadership) && votesUnder(self, leadership) &&
      tally[LR(leadership, self)] == 0 && !isDeadTo(leadership, self) &&
      mayCount(leadership, self) ->
      printf("vote of rank %d reaches leadership %d\n", self, leadership);
      tally[LR(leadership, self)] = 1
    }
#if DEATHS
  /* A cut. */
  :: d_step {
      about == 1 && self != RANKS - 1 && doesWithout[leadership] && !cut[self] &&
      !isFenced(fence[self], leadership) ->
      accept(self, leadership);
      printf("rank %d cuts rank %d\n", self, RANKS - 1);
      cut[self] = 1
    }
#endif
  /* An outcome. */
  :: d_step {
      saysOutcome(leadership, about) && !isFenced(fence[self], leadership) &&
      outcome[RV(self, about)] != known[LV(leadership, about)] ->
      accept(self, leadership);
      printf("rank %d hears from leadership %d\n", self, leadership);
      act(self, about, known[LV(leadership, about)])
    }
  od
}

proctype Rank(byte self) {
end:
  do
  :: d_step { staging[self] != 0 -> castVote(self, true) }
  :: d_step { staging[self] != 0 -> castVote(self, false) }
  /* Restarts. */
  :: d_step {
      true ->
      printf("rank %d restarts\n", self);
      staging[self] = 0;
#ifdef MUTATION_FORGET_VOTE_IN_RESTART
      vote[self] = 0;
#endif
#ifdef MUTATION_FORGET_FENCE_IN_RESTART
      fence[self] = 0;
#endif
#ifdef MUTATION_FORGET_OUTCOME_IN_RESTART
      outcome[RV(self, 1)] = 0;
#endif
    }
#ifdef MUTATION_RELEASE_VOTE_ON_ABSENCE
  /* (fault) Reads the store, finds no record and lets its vote go. */
  :: d_step {
      vote[self] != 0 && record[versionOf(vote[self]) - 1] == 0 ->
      printf("rank %d reads no record and releases its vote\n", self);
      vote[self] = 0
    }
#endif
#ifdef MUTATION_ACT_ON_OWN_READING
  /* (fault) Reads the store and acts on the outcome of its vote. */
  :: d_step {
      vote[self] != 0 && record[versionOf(vote[self]) - 1] != 0 ->
      ballots = vote[self];
      act(self, versionOf(ballots), record[versionOf(ballots) - 1])
    }
#endif
  od
}

/* A rank that has acted on an outcome tells a peer, under no fence. */
proctype Peers(byte self, teller, about) {
end:
  do
  :: d_step {
      outcome[RV(self, about)] == 0 && outcome[RV(teller, about)] != 0 && hears(self, teller) ->
      act(self, about, outcome[RV(teller, about)])
    }
  od
}

/* A write that timed out lands, or finds a record and is refused. */
proctype LateWrite(byte leadership, about) {
end:
  do
  :: d_step {
      pending[LV(leadership, about)] != 0 ->
      printf("late write of leadership %d arrives\n", leadership);
      if
      :: canCreate(about) -> land(about, pending[LV(leadership, about)])
      :: else
      fi;
      pending[LV(leadership, about)] = 0
    }
  od
}

/* A crash of the store loses a record that it had acknowledged. */
proctype StoreCrash(byte about) {
end:
  do
  :: d_step {
      losses < STORE_LOSSES && record[about - 1] != 0 ->
      printf("the store loses the record of version %d\n", about);
      record[about - 1] = 0;
      losses++
    }
  od
}

init {
  byte each, which, about;
  atomic {
    for (about : 1 .. VERSIONS) {
      for (each : 0 .. RANKS - 1) {
        for (which : 1 .. LEADERSHIPS) { run Link(each, which, about) }
        for (which : 0 .. RANKS - 1) {
          if :: which != each -> run Peers(each, which, about) :: else fi
        }
      }
      for (which : 1 .. LEADERSHIPS) { run LateWrite(which, about) }
      run StoreCrash(about)
    }
    for (which : 1 .. LEADERSHIPS) { run Leadership(which) }
    for (each : 0 .. RANKS - 1) { run Rank(each) }
    each = 0; which = 0; about = 0
  }
}

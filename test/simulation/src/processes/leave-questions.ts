import type {
  CoordinatorEffect,
  LeaveAnswer,
  LeaveQuestion,
  Operation,
  OperationCommand,
} from '@isobar/protocol';
import type { World } from '../world.js';
import type { SimulatedCoordinator } from './simulated-coordinator.js';

type Reply = (answer: LeaveAnswer) => void;
type Ended = Extract<CoordinatorEffect, { readonly kind: 'operation-done' | 'operation-refused' }>;

/** How a coordinator's shell answers agents that ask to leave, as services/coordinator has it. */
export class LeaveQuestions {
  readonly #world: World;
  readonly #coordinator: SimulatedCoordinator;
  readonly #waiting = new Map<
    number,
    { readonly question: LeaveQuestion; readonly reply: Reply }
  >();

  constructor(world: World, coordinator: SimulatedCoordinator) {
    this.#world = world;
    this.#coordinator = coordinator;
  }

  ask(question: LeaveQuestion, reply: Reply): void {
    const { role } = this.#coordinator.state;
    if (role.kind !== 'leading') return;
    const { rank, incarnation, requestId } = question;
    const { swap } = role.leader;
    if (!this.#world.machines.isAwaited(role.leader, { rank, incarnation })) {
      reply(answerOf('left'));
      return;
    }
    const members = swap.members.filter((member) => member.rank === rank);
    if (members[0]?.incarnation !== incarnation) {
      reply(answerOf('leaving'));
      return;
    }
    const requester = { verified: false, account: null, user: `agent-${rank}`, host: null };
    const command: OperationCommand = {
      id: requestId,
      digest: '1'.repeat(64),
      command: 'leave',
      requester,
    };
    const request: Operation['request'] = {
      change: 'leave',
      ranks: [rank],
      members,
      base: swap.newest,
    };
    const token = this.#coordinator.drawToken();
    this.#waiting.set(token, { question, reply });
    this.#coordinator.step({ kind: 'operate', token, change: null, request, command });
  }

  /** @returns whether it was the answer to a question */
  answered(effect: Ended): boolean {
    const waiting = this.#waiting.get(effect.token);
    this.#waiting.delete(effect.token);
    if (waiting === undefined) return false;
    const { reply, question } = waiting;
    if (effect.kind === 'operation-refused') {
      this.#world.situations.count('refused: leave by itself');
      reply(answerOf('refused', effect.error.message));
      return true;
    }
    const outcome = effect.request?.outcome ?? null;
    const { role } = this.#coordinator.state;
    const isListed =
      role.kind === 'leading' &&
      role.leader.swap.members.some(({ incarnation }) => incarnation === question.incarnation);
    const goesOn = outcome === null || (outcome === 'committed' && !isListed);
    reply(answerOf(goesOn ? 'leaving' : 'failed', outcome ?? ''));
    return true;
  }

  reset(): void {
    this.#waiting.clear();
  }
}

function answerOf(state: LeaveAnswer['state'], reason = ''): LeaveAnswer {
  return { schema: 1, state, code: null, reason };
}

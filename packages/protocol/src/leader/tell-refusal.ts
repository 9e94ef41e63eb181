import type { RankReport, RefusedOrder } from '../messages.js';
import type { LeaderStep } from './leader-step.js';

const refusalsMax = 1_024;

/** Reports repeat a refusal for as long as it stands: people are told once. */
export function tellRefusal(step: LeaderStep, { rank, refused }: RankReport): void {
  if (refused === null) return;
  const key = refusalKey(rank, refused);
  const { refusals } = step.state;
  if (refusals.includes(key)) return;
  step.state.refusals = [...refusals, key].slice(-refusalsMax);
  step.effects.push({ kind: 'order-refused', rank, refused });
}

function refusalKey(rank: number, { order, version, code }: RefusedOrder): string {
  return `${rank} ${order} ${version} ${code}`;
}

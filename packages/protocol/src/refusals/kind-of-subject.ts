import { recordsBucket, subjectsOf } from '../subjects.js';
import type { MessageKind } from './refusal-counts.js';

const agentVerbs: Readonly<Record<string, MessageKind>> = {
  report: 'report',
  query: 'query',
  prepare: 'prepare',
  outcome: 'outcome',
};
const leaderVerbs: Readonly<Record<string, MessageKind>> = {
  outcomes: 'outcomes-question',
  leave: 'leave-question',
};
const swapVerbs: Readonly<Record<string, MessageKind>> = {
  prepare: 'prepare',
  outcome: 'outcome',
  retire: 'retire',
  state: 'state',
  cut: 'cut',
};

/** What travels on a subject of the deployment, wildcards included; `other` on any else. */
export function kindOfSubject(deployment: string, subject: string): MessageKind {
  if (subject.startsWith(`$KV.${recordsBucket(deployment)}.`)) return 'record';
  const { commandPrefix } = subjectsOf(deployment);
  const prefix = commandPrefix.slice(0, -'command'.length);
  if (!subject.startsWith(prefix)) return 'other';
  const [group = '', ...rest] = subject.slice(prefix.length).split('.');
  switch (group) {
    case 'load':
    case 'vote':
    case 'command':
    case 'event':
      return group;
    case 'agent':
      return agentVerbs[rest[1] ?? ''] ?? 'other';
    case 'swap':
      return swapVerbs[rest[0] ?? ''] ?? 'other';
    case 'leader':
      return leaderVerbs[rest[0] ?? ''] ?? 'other';
    default:
      return 'other';
  }
}

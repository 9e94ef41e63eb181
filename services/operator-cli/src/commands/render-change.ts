import type { ChangeAnswer } from '@isobar/protocol';
import { bytes, counted, ranges } from '../table.js';
import { renderPlan } from './render-status.js';

/** A command's answer for a person: what it would do, or what became of it. */
export function renderChange(answer: ChangeAnswer): string {
  const { command, dryRun, outcome, reason, code, effect, plan } = answer;
  const told = dryRun ? `${command} (dry run)` : command;
  const lines = [`${told}: ${(outcome ?? 'running').replaceAll('-', ' ')}`];
  if (reason !== '') lines[0] += `: ${code === null ? '' : `${code}: `}${reason}`;
  if (effect !== null) {
    const { moves, waves, ranks } = effect;
    const where = ranks.length === 0 ? '' : ` on rank ${ranges(ranks)}`;
    lines.push(
      `${counted(moves, 'move')} (${bytes(effect.bytes)}) in ${counted(waves, 'wave')}${where}`,
    );
  }
  if (plan !== null) lines.push(renderPlan(plan));
  // Of a refusal it says what would hold had it not been refused.
  if (outcome !== 'would-be-refused') lines.push(renderControl(answer));
  return lines.join('\n');
}

function renderControl({ control, version }: ChangeAnswer): string {
  const { mode, paused, held, drained, slotLimits, dead } = control;
  const parts = [`mode ${mode}${paused ? ', paused' : ''}`];
  if (version !== null) parts.push(`version ${version} in force`);
  if (held !== null) parts.push(`held: ${held}`);
  if (drained.length > 0) parts.push(`drained: rank ${ranges(drained)}`);
  const limited = slotLimits.map(({ rank, slots }) => `rank ${rank} to ${counted(slots, 'slot')}`);
  if (limited.length > 0) parts.push(`limited: ${limited.join(', ')}`);
  const told = dead.map(({ rank, incarnation }) => `rank ${rank} (${incarnation})`);
  if (told.length > 0) parts.push(`declared dead: ${told.join(', ')}`);
  return parts.join('; ');
}

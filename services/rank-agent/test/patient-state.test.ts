import { emptyDurableRankState, IsobarError } from '@isobar/protocol';
import { PatientState } from '@isobar/rank-agent';
import { describe, expect, it } from 'vitest';

const full = new IsobarError('ISOBAR_AGENT_DISK_FULL', 'no space');

function patient(outcomes: (IsobarError | null)[]) {
  const story: string[] = [];
  const state = new PatientState({
    save: async () => {
      const outcome = outcomes.shift();
      story.push(outcome === null ? 'saved' : 'failed');
      if (outcome !== null) throw outcome ?? full;
    },
    retryMs: 1,
    onFull: (error, isFirst) => story.push(`${error.code}${isFirst ? ', first' : ''}`),
    onSpace: () => story.push('space'),
  });
  return { state, story };
}

describe('an agent whose disk is full', () => {
  it('waits until there is space, and tells', async () => {
    const { state, story } = patient([full, full, null, null]);
    const saving = state.save(emptyDurableRankState);
    await saving;
    story.push('resolved');
    await state.save(emptyDurableRankState);
    expect(story).toEqual([
      'failed',
      'ISOBAR_AGENT_DISK_FULL, first',
      'failed',
      'ISOBAR_AGENT_DISK_FULL',
      'saved',
      'space',
      'resolved',
      'saved',
    ]);
    expect(state.isFull).toBe(false);
  });

  it('waits for nothing else', async () => {
    const broken = new IsobarError('ISOBAR_AGENT_STATE', 'broken');
    const { state, story } = patient([broken]);
    await expect(state.save(emptyDurableRankState)).rejects.toBe(broken);
    expect(story).toEqual(['failed']);
  });

  it('ends its waiting when it is stopped', async () => {
    const { state, story } = patient([]);
    const saving = state.save(emptyDurableRankState);
    await expect.poll(() => state.isFull).toBe(true);
    state.stop();
    await saving;
    expect(story).not.toContain('saved');
  });
});

import { describe, expect, it } from 'vitest';
import { calm, type Hostility, SwapWorld } from './swap-world.js';

const hostile: Hostility = {
  lose: 0.15,
  duplicate: 0.1,
  crash: 0.01,
  ambiguousWrite: 0.2,
  stagingFails: 0.03,
};

/** Rounds after healing within which everything must have settled. */
const settleRoundsMax = 60;

function settle(world: SwapWorld): void {
  world.hostility = calm;
  for (let round = 0; round < settleRoundsMax && !world.settled; round += 1) {
    if (world.leaders.length === 0) world.elect();
    world.round();
  }
  if (!world.settled) throw new Error('L1: not settled after the faults have stopped');
}

function lead(world: SwapWorld): void {
  world.elect();
  for (let round = 0; round < 5; round += 1) world.round();
}

function play(seed: number): SwapWorld {
  const world = new SwapWorld({ seed, numRanks: 3, hostility: calm });
  lead(world);
  world.hostility = hostile;
  for (let step = 0; step < 600; step += 1) {
    world.step();
    if (step % 40 === 0) world.begin(2);
    if (step % 150 === 149) world.elect();
  }
  settle(world);
  return world;
}

describe('a swap', () => {
  it('goes through every phase, wave after wave', async () => {
    const world = new SwapWorld({ seed: 1, numRanks: 2, hostility: calm });
    lead(world);
    expect(world.begin(2)).toBe(true);
    settle(world);
    expect(world.finished).toEqual([
      { version: 1, outcome: 'committed' },
      { version: 2, outcome: 'committed' },
    ]);
    await expect(world.transcript.join('\n')).toMatchFileSnapshot('scenarios/two-waves.txt');
  });

  it('is void where a rank can not stage, and its later waves never begin', async () => {
    const world = new SwapWorld({ seed: 1, numRanks: 2, hostility: calm });
    lead(world);
    world.hostility = { ...calm, stagingFails: 1 };
    world.begin(2);
    world.round();
    settle(world);
    expect(world.finished).toEqual([{ version: 1, outcome: 'void' }]);
    await expect(world.transcript.join('\n')).toMatchFileSnapshot('scenarios/staging-fails.txt');
  });

  it('that was open when its leader died is decided by the next', async () => {
    const world = new SwapWorld({ seed: 1, numRanks: 2, hostility: calm });
    lead(world);
    world.begin(1);
    while (world.engines.some(({ swap }) => swap.vote === null)) world.step();
    world.crashLeader(0);
    lead(world);
    settle(world);
    expect(world.engines.map(({ swap }) => swap.mappingVersion)).toEqual([1, 1]);
    await expect(world.transcript.join('\n')).toMatchFileSnapshot('scenarios/leader-dies.txt');
  });

  it('is taken up by an agent that was away when it was decided', () => {
    const world = new SwapWorld({ seed: 3, numRanks: 3, hostility: calm });
    lead(world);
    world.begin(1);
    while (!world.store.has(1)) world.step();
    world.crashAgent(2);
    settle(world);
    expect(world.engines.map(({ swap }) => swap.mappingVersion)).toEqual([1, 1, 1]);
    expect(world.engines.map(({ swap }) => swap.retiredUpTo)).toEqual([1, 1, 1]);
  });
});

describe('rules S1, S2, S3, S6 and L1', () => {
  it('hold while messages are lost, doubled and reordered, and anybody dies', () => {
    const outcomes = { committed: 0, void: 0 };
    for (let seed = 1; seed <= 150; seed += 1) {
      try {
        for (const { outcome } of play(seed).finished) {
          if (outcome === 'committed') outcomes.committed += 1;
          else outcomes.void += 1;
        }
      } catch (cause) {
        throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
      }
    }
    expect(outcomes.committed).toBeGreaterThan(100);
    expect(outcomes.void).toBeGreaterThan(20);
  });
});

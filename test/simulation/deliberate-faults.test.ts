import * as machines from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { catchFault } from './dist/deliberate/catch-fault.js';
import { deliberateFaults } from './dist/deliberate/deliberate-faults.js';
import { loadFaultyMachines } from './dist/deliberate/load-machines.js';
import { describeFailedRun } from './dist/report.js';
import { runSeed } from './dist/run-seed.js';

describe('the simulator catches', () => {
  it.each(deliberateFaults)('$name', async (fault) => {
    const { seed, text } = await catchFault(fault);
    expect(seed, text).not.toBeNull();
  });
});

describe('a deliberate fault', () => {
  it('whose place is not in the machines any more is an error, not a fault that is caught', async () => {
    const edit = { file: 'fence.js', find: 'return whatever', replace: '' };
    await expect(loadFaultyMachines('no such place', [edit])).rejects.toThrow(
      'fence.js has 0 places of the text to replace, not one: return whatever',
    );
  });

  it('is told with its seed, the commit and the last events', async () => {
    const fault = deliberateFaults.find(({ name }) => name === 'activate before the record');
    const faulty = await loadFaultyMachines('told to people', fault?.edits ?? []);
    const result = runSeed({ machines: faulty, seed: 1, transcript: true });
    const told = describeFailedRun(result, 'abc123', false);
    expect(told).toMatch(/^seed 1, commit abc123: S2: coordinator \d tells version 1 as committed/);
    expect(told).toMatch(/^ +\d+\.\d+ coordinator \d leads under term 1 from version 0$/m);
    expect(runSeed({ machines, seed: 1 }).violation).toBeNull();
  });
});

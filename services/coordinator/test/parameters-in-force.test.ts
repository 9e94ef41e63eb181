import { describe, expect, it } from 'vitest';
import { ParametersInForce } from '../src/parameters-in-force.js';
import { timingsOf } from '../src/settings.js';
import { configurationWith } from './test-configuration.js';

function toldOf(parameters: ParametersInForce, name: string) {
  return parameters.answer('observe').parameters.find((one) => one.name === name);
}

describe('parameters in force', () => {
  it('have the lease that the design names where nothing is said', () => {
    const { settings } = new ParametersInForce(configurationWith());
    expect(timingsOf(settings).lease).toEqual({
      leaseMs: 15_000,
      renewDeadlineMs: 10_000,
      renewMs: 5_000,
      retryMs: 2_000,
    });
  });

  it('say of each option what it is, and who says so', () => {
    const parameters = new ParametersInForce(configurationWith({ passMs: '2s' }));
    parameters.setRecorded({ 'coordinator.backOffMs': 1_000 });
    expect(toldOf(parameters, 'coordinator.passMs')).toEqual({
      name: 'coordinator.passMs',
      value: 2_000,
      unit: 'ms',
      origin: 'file',
      from: 'file, line 1',
      atRunTime: 'command',
    });
    expect(toldOf(parameters, 'coordinator.backOffMs')).toMatchObject({ origin: 'command' });
    expect(timingsOf(parameters.settings).leader.backOffMs).toBe(1_000);
    expect(toldOf(parameters, 'coordinator.leaseMs')).toMatchObject({ origin: 'default' });
    expect(toldOf(parameters, 'coordinator.mode')).toMatchObject({ origin: 'default' });
    const { parameters: told } = parameters.answer('automatic');
    expect(told.find(({ name }) => name === 'coordinator.mode')).toMatchObject({
      value: 'automatic',
      origin: 'command',
    });
  });

  it('are set over those that they were checked over, and the answer says over what', () => {
    const parameters = new ParametersInForce(configurationWith({ passMs: '2s' }));
    const recorded = { 'coordinator.policy': 'default' };
    parameters.setRecorded(recorded);
    const changes = { 'coordinator.passMs': '500ms', 'coordinator.policy': null };
    const { operation, reason } = parameters.prepare(changes);
    expect(operation.change).toEqual({
      kind: 'parameters',
      changes: { 'coordinator.passMs': 500, 'coordinator.policy': null },
      checkedOver: recorded,
    });
    expect(reason).toBe(
      'coordinator.passMs is 500 by command, over 2000 (file, line 1); coordinator.policy is "locality-aware" (default) again',
    );
  });

  it('accept no file that what commands have set does not go with', () => {
    const parameters = new ParametersInForce(configurationWith());
    parameters.setRecorded({ 'coordinator.windowPasses': 4, 'coordinator.gone': 1 });
    expect(parameters.unusable.map(({ name }) => name)).toEqual(['coordinator.gone']);
    expect(() => parameters.assertAcceptable(configurationWith({ passesMin: 5 }))).toThrow(
      expect.objectContaining({
        code: 'ISOBAR_CONFIGURATION_INVALID',
        message: expect.stringContaining('coordinator.windowPasses'),
      }),
    );
    expect(() => parameters.assertAcceptable(configurationWith({ passesMin: 4 }))).not.toThrow();
    // Where a process starts with such a file, it does without.
    parameters.setBase(configurationWith({ passesMin: 5 }));
    expect(parameters.settings).toMatchObject({ windowPasses: 8, passesMin: 5 });
    expect(parameters.unusable).toHaveLength(2);
  });
});

import { checkParameters, withParameters } from '@isobar/configuration';
import { describe, expect, it } from 'vitest';
import { fileWith, loaded } from './test-file.js';

const base = loaded(fileWith('coordinator: { windowPasses: 6, passMs: 2s }'), {
  ISOBAR_COORDINATOR_PASS_MS: '3s',
});

describe('parameters', () => {
  it('go before the environment, that before the file, that before the default', () => {
    const { loaded: effective, unusable } = withParameters(base, {
      'coordinator.passMs': 4_000,
      'coordinator.policy': 'default',
    });
    expect(unusable).toEqual([]);
    const { coordinator } = effective.configuration;
    expect(coordinator).toMatchObject({ passMs: 4_000, policy: 'default', windowPasses: 6 });
    expect(effective.origins.get('coordinator.passMs')).toEqual({ kind: 'command' });
    expect(effective.origins.get('coordinator.windowPasses')).toMatchObject({ kind: 'file' });
    expect(withParameters(base, {}).loaded.configuration.coordinator.passMs).toBe(3_000);
  });

  it('are compiled, texts as the environment’s are', () => {
    const changes = {
      'coordinator.passMs': '500ms',
      'coordinator.passesMin': '3',
      'coordinator.balancednessMax': '0.9',
      'coordinator.policy': null,
    };
    expect(checkParameters(base, {}, changes)).toEqual({
      'coordinator.passMs': 500,
      'coordinator.passesMin': 3,
      'coordinator.balancednessMax': 0.9,
      'coordinator.policy': null,
    });
  });

  it.each([
    ['coordinator.passMs', 'soon', 'must be a duration'],
    ['coordinator.passMs', true, 'must be a duration'],
    ['coordinator.pasMs', 1, 'did you mean coordinator.passMs?'],
    ['passMs', 1, 'did you mean coordinator.passMs?'],
    ['coordinator.leaseMs', 20_000, 'only by a restart'],
    ['log.level', 'debug', 'by the file and SIGHUP'],
    ['coordinator.mode', 'automatic', 'by the command mode'],
    ['coordinator.leaseMs', null, 'only by a restart'],
    ['coordinator.passesMin', 7, 'at most coordinator.windowPasses'],
  ])('are refused as a whole where %s is %s', (name, value, text) => {
    const changes = { 'coordinator.planIntervalMs': 5_000, [name]: value };
    expect(() => checkParameters(base, {}, changes)).toThrow(
      expect.objectContaining({
        code: 'ISOBAR_CONFIGURATION_PARAMETER',
        message: expect.stringContaining(text),
        fields: { field: `parameters.${name}` },
      }),
    );
  });

  it('that are recorded are outside data: what can’t hold is not applied, and told', () => {
    const recorded = {
      'coordinator.passMs': -1,
      'coordinator.ofAnotherVersion': 3,
      'coordinator.passesMin': 7,
      'coordinator.horizonPasses': 30,
    };
    const { loaded: effective, unusable } = withParameters(base, recorded);
    expect(unusable.map(({ name }) => name)).toEqual([
      'coordinator.passMs',
      'coordinator.ofAnotherVersion',
      'coordinator.passesMin',
    ]);
    const { coordinator } = effective.configuration;
    expect(coordinator).toMatchObject({ passMs: 3_000, passesMin: 2, horizonPasses: 30 });
    // They are in nobody's way, and can be reset.
    const forgotten = { 'coordinator.ofAnotherVersion': null, 'coordinator.passMs': 1_000 };
    expect(checkParameters(base, recorded, forgotten)).toEqual(forgotten);
  });
});

import { formatProblem, options } from '@isobar/configuration';
import { describe, expect, it } from 'vitest';
import { fileWith, loaded, problemsOf } from './test-file.js';

describe('overrides of the environment', () => {
  it('go before the file, by names that follow from the options’', () => {
    const { configuration, origins } = loaded(fileWith('coordinator: { leaseMs: 20s }'), {
      ISOBAR_COORDINATOR_LEASE_MS: '30s',
      ISOBAR_COORDINATOR_PASS_MS: '250',
      ISOBAR_COORDINATOR_BALANCEDNESS_MAX: '0.9',
      ISOBAR_NATS_SERVERS: 'nats://b:4222, nats://c:4222',
      ISOBAR_LOG_LEVEL: 'debug',
      PATH: '/bin',
    });
    expect(configuration).toMatchObject({
      nats: { servers: ['nats://b:4222', 'nats://c:4222'] },
      coordinator: { leaseMs: 30_000, passMs: 250, balancednessMax: 0.9 },
      log: { level: 'debug' },
    });
    expect(origins.get('coordinator.leaseMs')).toEqual({
      kind: 'environment',
      variable: 'ISOBAR_COORDINATOR_LEASE_MS',
    });
  });

  it('are refused by the variable’s name, beside what is wrong with the file', () => {
    const problems = problemsOf(fileWith('log: { level: loud }'), {
      ISOBAR_COORDINATOR_LEASE_MS: 'soon',
      ISOBAR_COORDINATOR_LEASSE_MS: '10s',
      ISOBAR_COORDINATOR_RETRY_MS: '',
    });
    const told = problems.map(formatProblem);
    expect(told).toHaveLength(4);
    expect(told[1]).toMatch(/^ISOBAR_COORDINATOR_LEASE_MS: must be a duration/);
    expect(told[2]).toBe(
      "ISOBAR_COORDINATOR_LEASSE_MS: is no option's variable; did you mean ISOBAR_COORDINATOR_LEASE_MS?",
    );
    expect(told[3]).toMatch(/^ISOBAR_COORDINATOR_RETRY_MS: must be/);
  });

  it('break a rule by the variable’s name', () => {
    const problems = problemsOf(fileWith(), { ISOBAR_COORDINATOR_RENEW_DEADLINE_MS: '15s' });
    expect(problems.map(formatProblem)).toEqual([
      'ISOBAR_COORDINATOR_RENEW_DEADLINE_MS: coordinator.renewDeadlineMs must be less than coordinator.leaseMs: a leader stops before another may lead',
    ]);
  });

  it('leave the project’s other variables alone', () => {
    const others = {
      ISOBAR_RANK: '3',
      ISOBAR_PLACE: 'rack=a',
      ISOBAR_POD_INDEX: '1',
      ISOBAR_CI: '1',
      ISOBAR_CI_ROUND: '2',
      ISOBAR_DATA: '/x',
    };
    expect(problemsOf(fileWith(), others)).toEqual([]);
  });

  it('can say everything that a file can but for a topology’s content', () => {
    expect(options.map(({ variable }) => variable)).toContain('ISOBAR_COORDINATOR_LEASE_MS');
    const all = { ISOBAR_DEPLOYMENT: 'd', ISOBAR_TOPOLOGY: 't', ISOBAR_NATS_SERVERS: 'a' };
    expect(problemsOf('{}', all)).toEqual([]);
  });
});

import { spawnSync } from 'node:child_process';
import { createLogger, logLevelFromEnvironment, serializeError } from '@isobar/telemetry';
import { describe, expect, it } from 'vitest';

class CodedError extends Error {
  readonly code = 'ISOBAR_TEST';
  readonly fields = { rank: 3 };
}

describe('serializeError', () => {
  it('keeps code, fields and the chain of causes', () => {
    const error = new CodedError('outer', { cause: new Error('inner', { cause: 'text' }) });
    expect(serializeError(error)).toMatchObject({
      message: 'outer',
      code: 'ISOBAR_TEST',
      fields: { rank: 3 },
      cause: { message: 'inner', cause: { name: 'string', message: 'text' } },
    });
  });

  it('ends a chain of causes that ends nowhere', () => {
    const error = new Error('turns');
    error.cause = error;
    expect(JSON.stringify(serializeError(error)).match(/turns/g)?.length).toBeLessThan(20);
  });
});

describe('createLogger', () => {
  it('writes one JSON line per event to standard error, also just before the process ends', () => {
    const script = `
      const { createLogger } = await import(${JSON.stringify(import.meta.resolve('@isobar/telemetry'))});
      createLogger({ name: 'probe', fields: { rank: 7 } }).error({ err: new Error('no') }, 'failed');
      process.exit(3);`;
    const { stderr, stdout, status } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', script],
      { encoding: 'utf8', env: { PATH: process.env.PATH } },
    );
    expect(status).toBe(3);
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toMatchObject({
      name: 'probe',
      rank: 7,
      msg: 'failed',
      err: { message: 'no' },
    });
  });

  it('leaves out what is below its level', () => {
    expect(createLogger({ name: 'probe', level: 'warn' }).isLevelEnabled('info')).toBe(false);
  });
});

describe('logLevelFromEnvironment', () => {
  it('is info where nothing is said', () => {
    expect(logLevelFromEnvironment({})).toBe('info');
  });

  it('refuses a level that does not exist, naming the variable', () => {
    expect(() => logLevelFromEnvironment({ ISOBAR_LOG_LEVEL: 'loud' })).toThrowError(
      expect.objectContaining({
        code: 'ISOBAR_TELEMETRY_LOG_LEVEL',
        fields: { variable: 'ISOBAR_LOG_LEVEL', value: 'loud' },
      }),
    );
  });
});

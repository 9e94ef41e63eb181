import { fileURLToPath } from 'node:url';
import { checkConfiguration } from '@isobar/configuration';
import { describe, expect, it } from 'vitest';
import { configurationDocument, example } from './configuration-document.js';

const path = fileURLToPath(new URL('../../docs/CONFIGURATION.md', import.meta.url));

describe('docs/CONFIGURATION.md', () => {
  it('tells of every option what its table does; npx vitest run test/unit -u writes it', async () => {
    await expect(configurationDocument()).toMatchFileSnapshot(path);
  });

  it('begins with an example that can be used as it is', () => {
    expect(configurationDocument()).toContain(example);
    expect(checkConfiguration('/etc/isobar/isobar.yaml', example, {}).problems).toEqual([]);
  });
});

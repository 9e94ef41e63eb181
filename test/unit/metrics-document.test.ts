import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { metricsDocument } from './metrics-document.js';

const path = fileURLToPath(new URL('../../docs/METRICS.md', import.meta.url));

describe('docs/METRICS.md', () => {
  it('tells of every metric; npx vitest run test/unit -u writes it', async () => {
    await expect(metricsDocument()).toMatchFileSnapshot(path);
  });
});

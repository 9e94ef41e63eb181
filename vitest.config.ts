import { defineConfig } from 'vitest/config';

/** What is built runs as it is: through the tests' own loader it takes twice as long. */
const server = { deps: { external: [/\/dist\//] } };

/** Clusters of processes wait as much as they work: two at a time, after what needs none. */
const clusters = { maxWorkers: 2, sequence: { groupOrder: 1 }, server };

/** With the processes as they are shipped. */
const installed = { globalSetup: 'test/e2e/install.ts' };

export default defineConfig({
  test: {
    // By default one core less: of two that is half.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{packages,services}/*/test/**/*.test.ts', 'test/unit/**/*.test.ts'],
          testTimeout: 30_000,
          // One process for many files: they share what they import, which took longer than the tests.
          isolate: false,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 60_000,
          ...clusters,
          ...installed,
        },
      },
      {
        test: {
          name: 'compatibility',
          include: ['test/compatibility/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          ...clusters,
          ...installed,
        },
      },
      {
        test: {
          name: 'deploy',
          include: ['test/deploy/**/*.test.ts'],
          testTimeout: 300_000,
          // Tools are built, and packages fetched, where they are not there yet.
          hookTimeout: 600_000,
          ...clusters,
        },
      },
      {
        test: {
          name: 'hostile',
          include: ['test/hostile/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          ...clusters,
          ...installed,
        },
      },
      {
        test: {
          name: 'chaos',
          include: ['test/chaos/*.test.ts'],
          testTimeout: 600_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['test/simulation/*.test.ts'],
          testTimeout: 120_000,
          server,
        },
      },
      {
        test: {
          name: 'compose',
          include: ['test/compose/*.test.ts'],
          globalSetup: 'test/compose/prepare-engine.ts',
          testTimeout: 300_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'model',
          include: ['test/model/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          // Searches take a core and up to 2 GiB each.
          maxConcurrency: 2,
        },
      },
    ],
  },
});

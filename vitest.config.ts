import { defineConfig } from 'vitest/config';

// Rings: `unit` needs nothing but Node; `integration` and `e2e` need the local parts and are started by
// `npm test` (test/run.ts) inside the network namespace where those parts live. One ring after the other, and there one
// file after the other: they break the parts that they share. `restores` (every layout and version), `stores` (every
// kind of server, and its faults) and `chaos` take long and have scripts of their own.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          // Machines are shared: a test that takes a second alone may take ten.
          testTimeout: 30_000,
          include: ['test/**/*.test.ts'],
          exclude: [
            'test/e2e/**',
            'test/restores/**',
            'test/kubelet/**',
            'test/stores/**',
            'test/chaos/**',
            'test/**/*.integration.test.ts',
          ],
        },
      },
      {
        test: {
          name: 'integration',
          sequence: { groupOrder: 1 },
          include: ['test/**/*.integration.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'e2e',
          sequence: { groupOrder: 2 },
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'restores',
          sequence: { groupOrder: 3 },
          include: ['test/restores/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'kubelet',
          sequence: { groupOrder: 4 },
          include: ['test/kubelet/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'stores',
          sequence: { groupOrder: 5 },
          include: ['test/stores/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'chaos',
          sequence: { groupOrder: 6 },
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 1_200_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

/**
 * One suite, plain globs: `npx vitest run test/unit` needs no servers; files that do say so
 * through test/support/servers.ts, whose addresses `npm test` puts into the environment.
 */
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { SlowestFirst } from './test/support/slowest-first.ts';

/** Tests of pure code: they leave nothing behind, so one process may run many files. */
const PURE = ['test/unit/**/*.test.ts', 'test/property/**/*.test.ts'];

export default defineConfig({
  // TypeORM entities use the older decorators; said here too, so that no file depends on being
  // covered by tsconfig.json.
  oxc: { decorator: { legacy: true } },
  test: {
    exclude: ['**/node_modules/**', 'dist/**', '.syncline/**'],
    pool: 'forks',
    // One more than there are processors: some files wait for servers that are away on purpose.
    maxWorkers: Math.min(4, availableParallelism() + 1),
    sequence: { sequencer: SlowestFirst },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    restoreMocks: true,
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: { name: 'servers', include: ['test/**/*.test.ts'], exclude: PURE },
      },
      // Loading the modules anew for each file would take longer than most of these files.
      { extends: true, test: { name: 'pure', include: PURE, isolate: false } },
    ],
    coverage: {
      provider: 'v8',
      reporter: ['text-summary', 'html'],
      exclude: ['dist/**', 'test/**', 'bench/**', '*.config.*', '**/*.mjs'],
      // `sync/` is measured by `npm run coverage:sync`, which needs no servers and is a step of .ci/run;
      // the whole (seed 002: above 80 %) by `npm run test:coverage`.
      thresholds: { lines: 80, 'sync/**': { branches: 95 } },
    },
  },
});

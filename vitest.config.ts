/**
 * One suite, plain globs: `npx vitest run test/unit` needs no servers; files that do say so
 * through test/support/servers.ts, whose addresses `npm test` puts into the environment.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // TypeORM entities use the older decorators; said here too, so that no file depends on being
  // covered by tsconfig.json.
  oxc: { decorator: { legacy: true } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**', '.syncline/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    restoreMocks: true,
    passWithNoTests: false,
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

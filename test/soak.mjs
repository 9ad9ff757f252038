/**
 * `npm run test:soak [-- test files]`: the random and enumerating tests for as long as it takes
 * (hours): many more lives, every pair of kills, the model to its full depth. Each number can be
 * given in the environment.
 */
process.env['SYNCLINE_RUNS'] ??= '20000';
process.env['SYNCLINE_SEED'] ??= String(Date.now() % 2 ** 31);
process.env['SYNCLINE_KILLS'] ??= 'all';
process.env['SYNCLINE_MODEL'] ??= 'deep';
process.env['SYNCLINE_WRITERS_MS'] ??= '60000';
process.env['SYNCLINE_MALFORMED'] ??= '100000';
if (process.argv.length === 2) {
  process.argv.push('test/statemachine', 'test/kill', 'test/model', 'test/load');
}
await import('./run.mjs');

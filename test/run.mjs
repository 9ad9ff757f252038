/**
 * `npm test [-- vitest arguments]`: brings up real servers, runs vitest against them, takes them
 * down, and ends with `N passed, N failed` from vitest's own result. Exits as vitest does.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkNode, ensureInstalled } from '../dev/prepare.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const results = mkdtempSync(join(tmpdir(), 'syncline-results-'));
const resultFile = join(results, 'vitest.json');

let vitest = null;
let interrupts = 0;
// In a terminal Ctrl-C reaches vitest by itself; we stay to take the servers down.
process.on('SIGINT', () => {
  interrupts += 1;
  if (interrupts > 1) vitest?.kill('SIGKILL');
});
process.on('SIGTERM', () => {
  interrupts += 1;
  vitest?.kill('SIGTERM');
});

checkNode();
await ensureInstalled(root);
const { register } = await import('tsx/esm/api');
const unregister = register();
const { startTestServers } = await import('./support/servers-start.ts');
await unregister();

const begin = performance.now();
const servers = await startTestServers(({ server, state, message, elapsedMs }) => {
  const line = `[${server}] ${message}`;
  console.log(
    `${(elapsedMs / 1000).toFixed(1).padStart(6)} s  ${state === 'failed' ? line.toUpperCase() : line}`,
  );
});
let code = 1;
try {
  for (const reason of servers.missing) {
    console.error(`\n*** A SERVER IS MISSING; the tests that need it will fail ***\n${reason}\n`);
  }
  console.log(
    `${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s  servers are up, running vitest`,
  );
  if (interrupts === 0) code = await runVitest(servers.env);
} finally {
  await servers.stop();
}
console.log(summary());
rmSync(results, { recursive: true, force: true });
process.exit(code);

/** Runs vitest to its end and gives its exit code. */
function runVitest(env) {
  const program = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = process.argv.slice(2);
  const hasReporter = args.some((arg) => arg.startsWith('--reporter'));
  const reporters = [...(hasReporter ? [] : ['--reporter=default']), '--reporter=json'];
  return new Promise((resolve) => {
    vitest = spawn(
      process.execPath,
      [program, 'run', ...args, ...reporters, `--outputFile.json=${resultFile}`],
      { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } },
    );
    vitest.once('error', () => resolve(1));
    vitest.once('exit', (exitCode) => resolve(exitCode ?? 1));
  });
}

/** The closing line. A file that could not even be loaded counts as one failure. */
function summary() {
  if (!existsSync(resultFile)) {
    console.error(interrupts > 0 ? 'interrupted: no result' : 'vitest ended without a result');
    return '0 passed, 1 failed';
  }
  const result = JSON.parse(readFileSync(resultFile, 'utf8'));
  const unloaded = result.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = result.numFailedTests + unloaded;
  const isClean = code === 0 || failed > 0;
  const skipped = result.numPendingTests + result.numTodoTests;
  const line = `${result.numPassedTests} passed, ${isClean ? failed : 1} failed`;
  return skipped > 0 ? `${line}, ${skipped} skipped` : line;
}

/**
 * `npm run test:fuzz [-- schemathesis options]`: the OpenAPI-driven fuzzer against the real API
 * process on real servers. Needs `schemathesis` (Python) on the PATH, or `python3` with `venv` and
 * `pip`, which put it under ~/.cache/syncline once. Always the same seed. SYNCLINE_FUZZ_SECONDS (240)
 * and SYNCLINE_FUZZ_EXAMPLES (50, per call and phase) bound it. Exits 0 when nothing was found, 1 when
 * something was, 3 when there is no fuzzer to be had.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '4.32.5';
/** What no answer may be: a 5xx, of another type or shape than the document says, or undocumented. */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
];
/** Longest that making its environment, and fetching it, may take. */
const VENV_MS = 60_000;
const FETCH_MS = 120_000;
/** Beyond the time it was given itself. */
const SLACK_MS = 60_000;
// Not under node_modules: `npm ci` would have it fetched anew each time.
const folder = join(homedir(), '.cache', 'syncline', `schemathesis-${VERSION}`);
const seconds = Number(process.env.SYNCLINE_FUZZ_SECONDS || 240);
const examples = Number(process.env.SYNCLINE_FUZZ_EXAMPLES || 50);

function fuzzer() {
  if (spawnSync('schemathesis', ['--version']).status === 0) return 'schemathesis';
  const program = join(folder, 'bin', 'schemathesis');
  if (existsSync(program)) return program;
  const does = (command, args, timeout) =>
    spawnSync(command, args, { stdio: 'inherit', timeout }).status === 0;
  const made =
    does('python3', ['-m', 'venv', folder], VENV_MS) &&
    does(join(folder, 'bin', 'pip'), ['install', '-q', `schemathesis==${VERSION}`], FETCH_MS);
  return made && existsSync(program) ? program : null;
}

const program = fuzzer();
if (program === null) {
  console.error('*** no schemathesis and no way to install it: the fuzzer did not run ***');
  process.exit(3);
}
const { register } = await import('tsx/esm/api');
register();
const { startTestServers } = await import('./support/servers-start.ts');
const servers = await startTestServers(() => undefined);
Object.assign(process.env, servers.env);
const { startSyncline } = await import('./support/syncline-process.ts');
const syncline = await startSyncline({ role: 'api' });
let code = 1;
try {
  const args = [
    'run',
    `${syncline.url}/api/context/openapi.json`,
    ...['--url', syncline.url, '--checks', CHECKS.join(','), '--continue-on-failure'],
    // It knows no way to write NDJSON.
    ...['--exclude-path', '/api/context/import'],
    ...['--max-examples', String(examples), '--seed', '1'],
    ...['--max-time', String(seconds), '--no-color'],
    ...process.argv.slice(2),
  ];
  const timeout = seconds * 1000 + SLACK_MS;
  const { status } = spawnSync(program, args, { stdio: 'inherit', cwd: syncline.folder, timeout });
  code = status === 0 ? 0 : 1;
  const errors = syncline
    .log()
    .split('\n')
    .filter((line) => /"level":(?:50|60)/.test(line));
  for (const line of errors.slice(0, 10)) console.error(line);
  if (errors.length > 0) code = 1;
} finally {
  await syncline.close();
  await servers.stop();
}
process.exit(code);

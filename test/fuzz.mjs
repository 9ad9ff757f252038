/**
 * `npm run test:fuzz [-- schemathesis options]`: the OpenAPI-driven fuzzer against the real API
 * process on real servers. Needs `schemathesis` (Python) on the PATH, or `python3` with `venv` and
 * `pip`, which put it under node_modules/.cache once. Exits 0 when nothing was found, 3 when there
 * is no fuzzer to be had.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'node_modules', '.cache', `schemathesis-${VERSION}`);

function fuzzer() {
  if (spawnSync('schemathesis', ['--version']).status === 0) return 'schemathesis';
  const program = join(folder, 'bin', 'schemathesis');
  if (existsSync(program)) return program;
  const made =
    spawnSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' }).status === 0 &&
    spawnSync(join(folder, 'bin', 'pip'), ['install', '-q', `schemathesis==${VERSION}`], {
      stdio: 'inherit',
    }).status === 0;
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
    ...['--max-examples', '50', '--seed', '1', '--max-time', '240', '--no-color'],
    ...process.argv.slice(2),
  ];
  code = spawnSync(program, args, { stdio: 'inherit', cwd: syncline.folder }).status ?? 1;
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

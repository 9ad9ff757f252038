#!/usr/bin/env node
/**
 * The management commands under the name older documents use. Each is the `syncline` command of the
 * same name; installs and builds first where that was not done yet.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkNode, ensureBuilt, ensureInstalled } from '../../dev/prepare.mjs';

const COMMANDS = [
  'setup',
  'start',
  'status',
  'stats',
  'backup',
  'restore',
  'cleanup',
  'export',
  'import',
];
const root = fileURLToPath(new URL('../..', import.meta.url));
const args = process.argv.slice(2);

if (!COMMANDS.includes(args[0] ?? '')) {
  const isHelp = args[0] === '--help' || args[0] === '-h';
  const usage = `Usage: node scripts/context/manage-context-system.js <${COMMANDS.join('|')}> […]\n`;
  (isHelp ? process.stdout : process.stderr).write(usage);
  process.exit(isHelp ? 0 : 2);
}

checkNode();
await ensureInstalled(root);
await ensureBuilt(root);
const child = spawn(process.execPath, [resolve(root, 'dist/cli/main.js'), ...args], {
  stdio: 'inherit',
});
// The terminal sends Ctrl-C to both; the command ends in order, and we wait for it.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.once('exit', (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal ?? 'SIGTERM']);
});

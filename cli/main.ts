#!/usr/bin/env node
/** The `syncline` command on this terminal. */
import { createInterface } from 'node:readline/promises';
import { readEnvironment } from './environment.ts';
import { readVersion } from './package-version.ts';
import { runCli } from './program.ts';
import { runMain, runStart } from './run-start.ts';

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}

// `syncline … | head` closes our stdout early; that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  isStdoutTerminal: process.stdout.isTTY,
  isStderrTerminal: process.stderr.isTTY,
  isStdinTerminal: process.stdin.isTTY,
  readStdin,
  confirm,
  environment: readEnvironment(),
  version: readVersion(),
  runStart,
  runMain,
});

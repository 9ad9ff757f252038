/**
 * A server as a child process: in a session of its own (Ctrl-C in the terminal must not reach it
 * before our ordered stop), its output in a log file, ended by the guardian if we die.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Guardian } from './guardian.ts';
import { signalGroup } from './process-alive.ts';

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Its standard output and error; the last start's file is kept beside it as `.old`. */
  readonly logFile: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Run as this user; only root may ask for it. */
  readonly runAs?: { readonly uid: number; readonly gid: number };
  /** Opens a message channel; the child must then end by itself when the channel closes. */
  readonly hasChannel?: boolean;
  readonly guardian?: Guardian | undefined;
}

export interface Child {
  readonly pid: number;
  /** Resolves when the process has ended, with the reason in words. */
  readonly ended: Promise<string>;
  hasEnded(): boolean;
  /** The first message the child sends over its channel; rejects when it ends before that. */
  firstMessage(): Promise<unknown>;
  /** Sends `signal` (SIGTERM), then SIGKILL after `graceMs`; resolves when it is gone. */
  stop(graceMs: number, signal?: NodeJS.Signals): Promise<void>;
  /** The last lines of its log, for error messages. */
  logTail(): string;
}

const TAIL_LINES = 8;

/** Starts a child. A command that cannot be started shows as an end, not as a throw. */
export function startChild(options: ChildOptions): Child {
  const child = spawnWithLog(options);
  const pid = child.pid ?? -1;
  if (pid > 0) options.guardian?.watch(pid);
  let isOver = false;
  const ended = new Promise<string>((resolve) => {
    const end = (reason: string): void => {
      if (isOver) return;
      isOver = true;
      if (pid > 0) options.guardian?.unwatch(pid);
      resolve(reason);
    };
    child.once('error', (error) => end(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => end(signal ? `ended by ${signal}` : `exit code ${code}`));
  });
  return {
    pid,
    ended,
    hasEnded: () => isOver,
    firstMessage: () => firstMessageOf(child, ended),
    stop: async (graceMs, signal = 'SIGTERM') => {
      if (isOver) return;
      signalGroup(pid, signal);
      const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
    logTail: () => tailOf(options.logFile),
  };
}

function spawnWithLog(options: ChildOptions): ChildProcess {
  mkdirSync(dirname(options.logFile), { recursive: true });
  if (existsSync(options.logFile)) renameSync(options.logFile, `${options.logFile}.old`);
  const log = openSync(options.logFile, 'w', 0o600);
  try {
    return spawn(options.command, [...options.args], {
      detached: true,
      stdio: ['ignore', log, log, ...(options.hasChannel ? (['ipc'] as const) : [])],
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.env !== undefined && { env: options.env }),
      ...options.runAs,
    });
  } finally {
    closeSync(log);
  }
}

async function firstMessageOf(child: ChildProcess, ended: Promise<string>): Promise<unknown> {
  const message = new Promise<unknown>((resolve) => child.once('message', resolve));
  const end = ended.then((reason) => Promise.reject(new Error(reason)));
  return Promise.race([message, end]);
}

function tailOf(logFile: string): string {
  if (!existsSync(logFile)) return '';
  return readFileSync(logFile, 'utf8').trim().split('\n').slice(-TAIL_LINES).join('\n');
}

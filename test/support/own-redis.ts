/** A Redis of the test's own, that can be frozen, killed and started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findCommand } from '../../dev/find-command.ts';
import { choosePort, LOOPBACK } from '../../dev/ports.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import { callRedis, redisAnswers } from './redis-call.ts';

export interface OwnRedis {
  readonly url: string;
  readonly port: number;
  /** One command. */
  call(command: string, ...args: string[]): Promise<unknown>;
  /** Stops it from doing anything, connections stay open; and lets it go on. */
  freeze(isFrozen: boolean): void;
  /** kill -9 */
  kill(): Promise<void>;
  /** Starts it again, with what its last snapshot had. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Null: this machine has no Redis. */
export function redisCommand(): string | null {
  return findCommand('redis-server', 'valkey-server');
}

export async function startOwnRedis(): Promise<OwnRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-own-redis-'));
  const port = await choosePort(0);
  let child: ChildProcess | null = null;

  async function start(): Promise<void> {
    const args = ['--port', String(port), '--bind', LOOPBACK, '--dir', folder, '--save', ''];
    child = spawn(redisCommand()!, [...args, '--appendonly', 'no'], { stdio: 'ignore' });
    await waitUntil(() => redisAnswers(port), { timeoutMs: 10_000, everyMs: 20 });
  }

  async function kill(): Promise<void> {
    const dying = child;
    child = null;
    if (!dying) return;
    const ended = new Promise((resolve) => dying.once('exit', resolve));
    dying.kill('SIGKILL');
    await ended;
  }

  await start();
  return {
    url: `redis://${LOOPBACK}:${port}`,
    port,
    call: (command, ...args) => callRedis(port, command, ...args),
    freeze: (isFrozen) => void child?.kill(isFrozen ? 'SIGSTOP' : 'SIGCONT'),
    kill,
    start,
    async stop() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

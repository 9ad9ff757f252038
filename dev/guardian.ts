/**
 * Children that outlive a killed parent would hold ports and data folders. One small process
 * holds a pipe from us; when the pipe closes, however we died, it ends every child it knows.
 */
import { spawn } from 'node:child_process';
import { nodeScript } from './node-script.ts';

export interface Guardian {
  readonly pid: number;
  /** Ends this process group when we die. Takes effect before the call returns. */
  watch(pid: number): void;
  /** The child has ended by itself; its pid may be given to somebody else. */
  unwatch(pid: number): void;
  /** Lets the guardian go; it first ends whatever is still being watched. */
  stop(): Promise<void>;
}

/**
 * Starts the guardian. It runs in a session of its own, so that Ctrl-C in the terminal does not
 * reach it, and it does not keep this process alive.
 */
export function startGuardian(): Guardian {
  const script = nodeScript('guardian-process');
  const child = spawn(script.command, script.args, {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  // A guardian somebody killed must not take us down with a broken pipe.
  child.stdin.on('error', () => undefined);
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return {
    pid: child.pid ?? -1,
    watch: (pid) => void child.stdin.write(`+${pid}\n`),
    unwatch: (pid) => void child.stdin.write(`-${pid}\n`),
    stop: async () => {
      child.ref();
      child.stdin.end();
      await exited;
    },
  };
}

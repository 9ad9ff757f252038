/**
 * Worker threads for work that would hold up the event loop. Each task has a time cap: past it the
 * thread is killed and the task counts as refused, while everything else goes on. Threads start
 * with the first task and end when idle, so a process without large bodies never has one.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Tinypool } from 'tinypool';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { HeavyTasks } from './heavy-tasks.ts';

/** What became of a task: its result, or why nobody will get one. */
export type Worked<Result> =
  | { readonly status: 'done'; readonly result: Result }
  | { readonly status: 'refused'; readonly detail: string };

type ResultOf<Name extends keyof HeavyTasks> = Awaited<ReturnType<HeavyTasks[Name]>>;

export interface Threads {
  /**
   * Runs one task of `heavy-tasks.ts` in a thread of its own. Refused: it took too long, or more
   * memory than a thread may have.
   * @throws AppError UNAVAILABLE after close; whatever the task throws
   */
  run<Name extends keyof HeavyTasks>(
    name: Name,
    input: Parameters<HeavyTasks[Name]>[0],
  ): Promise<Worked<ResultOf<Name>>>;
  /** Ends all threads; tasks under way are given up. */
  close(): Promise<void>;
}

export interface ThreadsOptions {
  /** Longest a task may run, ms, the start of its thread included. Default 15 s. */
  readonly taskMs?: number;
  /** Threads at most. Default: one less than the machine has cores, at least 2 and at most 4. */
  readonly maxThreads?: number;
  /** A thread ends after this long without work, ms. */
  readonly idleMs?: number;
  /** Heap of one thread, MiB: a body may have 10 MiB, a merge holds several copies of four. */
  readonly maxHeapMib?: number;
}

/** Makes the pool; starts nothing. */
export function createThreads(options: ThreadsOptions = {}): Threads {
  const { taskMs = 15_000, maxThreads = defaultThreads() } = options;
  const takeTurn = createTurns(maxThreads);
  const closing = new AbortController();
  /** Tells the tasks under way that a thread could not start. */
  const underWay = new Set<(error: unknown) => void>();
  let pool: Tinypool | null = null;

  function open(): Tinypool {
    if (pool) return pool;
    pool = createPool(options, maxThreads);
    // A thread that breaks while it starts is nobody's task yet, so the pool tells no caller.
    pool.on('error', (error) => {
      for (const fail of underWay) fail(error);
    });
    return pool;
  }

  /** One task; the signal kills its thread. */
  async function inThread<Name extends keyof HeavyTasks>(
    name: Name,
    input: unknown,
    signal: AbortSignal,
  ): Promise<ResultOf<Name>> {
    let fail: (error: unknown) => void = () => undefined;
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    underWay.add(fail);
    try {
      const running = open().run(input, { name, signal }) as Promise<ResultOf<Name>>;
      return await Promise.race([running, failed]);
    } finally {
      underWay.delete(fail);
    }
  }

  return {
    async run(name, input) {
      const release = await takeTurn();
      const late = new AbortController();
      const giveUp = (): void => late.abort();
      const timer = setTimeout(giveUp, taskMs);
      closing.signal.addEventListener('abort', giveUp);
      try {
        if (closing.signal.aborted) throw closed();
        return { status: 'done', result: await inThread(name, input, late.signal) };
      } catch (thrown) {
        if (closing.signal.aborted) throw closed();
        if (late.signal.aborted) return refused(`it took longer than ${taskMs} ms`);
        if (isOutOfMemory(thrown)) return refused('it took more memory than one item may');
        throw thrown;
      } finally {
        clearTimeout(timer);
        closing.signal.removeEventListener('abort', giveUp);
        release();
      }
    },
    async close() {
      closing.abort();
      await pool?.destroy();
      pool = null;
    },
  };
}

function createPool({ idleMs, maxHeapMib }: ThreadsOptions, maxThreads: number): Tinypool {
  // The build's file runs as it is; the sources need a loader first.
  const entry = import.meta.url.endsWith('.ts') ? './source-thread.mjs' : './heavy-tasks.js';
  return new Tinypool({
    filename: fileURLToPath(new URL(entry, import.meta.url)),
    execArgv: [],
    minThreads: 0,
    maxThreads,
    idleTimeout: idleMs ?? 30_000,
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMib ?? 1_024 },
  });
}

function defaultThreads(): number {
  return Math.min(4, Math.max(2, availableParallelism() - 1));
}

/**
 * Lets so many in at a time, first come first served. The pool has a queue too, but a task's time
 * must start when it does, not when it is queued.
 */
function createTurns(limit: number): () => Promise<() => void> {
  const waiting: (() => void)[] = [];
  let free = limit;
  const release = (): void => {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  };
  return async () => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => void waiting.push(resolve));
    return release;
  };
}

function isOutOfMemory(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : null;
  return code === 'ERR_WORKER_OUT_OF_MEMORY' || messageOf(thrown).includes('memory limit');
}

function refused(detail: string): { status: 'refused'; detail: string } {
  return { status: 'refused', detail };
}

function closed(): AppError {
  return new AppError('UNAVAILABLE', 'the worker is shutting down', { retryable: true });
}

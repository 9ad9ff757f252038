/**
 * The embedded stack: brings up the servers that are missing, all at once, each step reported with
 * its time; takes them down in order. State lives in one home folder, locked against a second use.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError, messageOf } from '../domain/errors.ts';
import { startGuardian, type Guardian } from './guardian.ts';
import { lockHome, type HomeLock } from './lock.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';
import {
  stepsOf,
  type ReportStep,
  type RunningServer,
  type ServerHealth,
  type ServerName,
  type StartServerOptions,
} from './server.ts';
import { startTemporal, TEMPORAL_UI_OFFSET } from './temporal.ts';
import { withDeadline } from './wait-until.ts';

export interface StackOptions {
  /** Folder for all state, e.g. `.syncline`; made when missing. */
  readonly home: string;
  /** Which servers to start; the others are somebody else's job. */
  readonly want: Readonly<Partial<Record<ServerName, boolean>>>;
  readonly report: ReportStep;
  /** Gives up starting, and stops what was started. */
  readonly signal?: AbortSignal;
  /** Whether missing software may be installed or downloaded. Default true. */
  readonly mayInstall?: boolean;
  /** Ports to try first; default: those of the last start, else fixed ones. 0: any. */
  readonly ports?: Readonly<Partial<Record<ServerName, number>>>;
  /** Leaves Temporal's UI out. Default false. */
  readonly isHeadless?: boolean;
}

export interface Stack {
  /** The servers that run, by name; undefined: not asked for. */
  readonly servers: Readonly<Partial<Record<ServerName, RunningServer>>>;
  /** Base URL of Temporal's UI, or null when we did not start one. */
  readonly temporalUiUrl: string | null;
  /** Tells whoever starts a second instance where this one answers. */
  setUrl(url: string): void;
  health(): Promise<Readonly<Partial<Record<ServerName, ServerHealth>>>>;
  /** Resolves with a sentence when a server ends that was not asked to. Never rejects. */
  readonly broken: Promise<string>;
  /** Temporal, then Redis, then Postgres, each with a deadline. Never throws; safe to call twice. */
  stop(): Promise<void>;
}

/** Below the range from which systems give out ports by themselves. */
const DEFAULT_PORTS: Readonly<Record<ServerName, number>> = {
  postgres: 15_432,
  redis: 16_379,
  temporal: 17_233,
};

const STARTERS = { postgres: startPostgres, redis: startRedis, temporal: startTemporal };
/** Who uses whom: Temporal's workers talk to the others to the end. */
const STOP_ORDER: readonly ServerName[] = ['temporal', 'redis', 'postgres'];
const STOP_MS = 20_000;

/**
 * Starts the wanted servers in parallel. Throws `ALREADY_RUNNING` (with the other's URL) or
 * `SERVER_NOT_STARTED` (naming every server that failed, and what to do); nothing is left running.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const home = resolve(options.home);
  const lock = await lockHome(home);
  const guardian = startGuardian();
  const ports = { ...DEFAULT_PORTS, ...readPorts(home), ...options.ports };
  const servers: Partial<Record<ServerName, RunningServer>> = {};
  let isStopping = false;
  const stop = async (): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    for (const name of STOP_ORDER) await stopOne(servers[name], options.report);
    await guardian.stop();
    lock.release();
  };
  const wanted = STOP_ORDER.filter((name) => options.want[name] === true);
  const common = { home, guardian: recordedIn(lock, guardian) };
  const outcomes = await Promise.allSettled(
    wanted.map(async (name) => {
      servers[name] = await startOne(name, options, { ...common, preferredPort: ports[name] });
    }),
  );
  const failures = outcomes.flatMap((one) =>
    one.status === 'rejected' ? [one.reason as unknown] : [],
  );
  if (failures.length > 0) {
    await stop();
    throw failures.length === 1 ? failures[0] : severalFailed(failures);
  }
  rememberPorts(home, servers);
  const ends = Object.values(servers).map(async (server) => {
    const reason = await server.ended;
    if (isStopping) await new Promise(() => undefined); // as asked: never "broken"
    return `${server.name} ended by itself: ${reason}`;
  });
  return {
    servers,
    temporalUiUrl: uiUrlOf(servers.temporal, options.isHeadless ?? false),
    setUrl: lock.setUrl,
    health: () => healthOf(servers),
    broken: Promise.race(ends),
    stop,
  };
}

/** Starts one server, and reports it when that fails. */
async function startOne(
  name: ServerName,
  options: StackOptions,
  place: Pick<StartServerOptions, 'home' | 'preferredPort'> & { readonly guardian: Guardian },
): Promise<RunningServer> {
  const tell = stepsOf(name, options.report);
  const { signal, mayInstall = true, isHeadless = false } = options;
  try {
    const all = { ...place, tell, mayInstall, isHeadless, ...(signal && { signal }) };
    return await STARTERS[name](all);
  } catch (thrown) {
    tell('failed', messageOf(thrown));
    throw thrown;
  }
}

/** A guardian that writes the same children into the lock, for the next owner. */
function recordedIn(lock: HomeLock, guardian: Guardian): Guardian {
  return {
    ...guardian,
    watch: (pid) => {
      guardian.watch(pid);
      lock.addChild(pid);
    },
    unwatch: (pid) => {
      guardian.unwatch(pid);
      lock.removeChild(pid);
    },
  };
}

async function stopOne(server: RunningServer | undefined, report: ReportStep): Promise<void> {
  if (server === undefined) return;
  const tell = stepsOf(server.name, report);
  tell('stopping', `stopping ${server.name}`);
  try {
    await withDeadline(server.stop(), STOP_MS);
    tell('stopped', `${server.name} stopped`);
  } catch (thrown) {
    tell('failed', `${server.name} did not stop in time: ${messageOf(thrown)}`);
  }
}

async function healthOf(servers: Stack['servers']): Promise<Awaited<ReturnType<Stack['health']>>> {
  const entries = Object.values(servers).map(
    async (one) => [one.name, await one.health()] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

function severalFailed(failures: readonly unknown[]): AppError {
  const text = failures.map(messageOf).join('\n\n');
  return new AppError('SERVER_NOT_STARTED', text, { cause: new AggregateError(failures) });
}

function uiUrlOf(temporal: RunningServer | undefined, isHeadless: boolean): string | null {
  if (temporal === undefined || isHeadless) return null;
  return `http://127.0.0.1:${temporal.port + TEMPORAL_UI_OFFSET}`;
}

/** Ports the servers of a home folder had when they last ran. */
export function readPorts(home: string): Partial<Record<ServerName, number>> {
  try {
    const file = JSON.parse(readFileSync(join(home, 'stack.json'), 'utf8')) as { ports?: unknown };
    const entries = Object.entries(file.ports ?? {}).filter(
      ([name, port]) =>
        name in DEFAULT_PORTS && Number.isInteger(port) && port > 0 && port < 65_536,
    );
    return Object.fromEntries(entries);
  } catch {
    return {}; // No file yet, or a damaged one: ports are only a convenience.
  }
}

function rememberPorts(home: string, servers: Stack['servers']): void {
  const running = Object.values(servers).map((server) => [server.name, server.port] as const);
  const ports = { ...readPorts(home), ...Object.fromEntries(running) };
  mkdirSync(home, { recursive: true });
  const draft = join(home, `stack.json.${process.pid}`);
  writeFileSync(draft, `${JSON.stringify({ ports }, null, 2)}\n`);
  renameSync(draft, join(home, 'stack.json'));
}

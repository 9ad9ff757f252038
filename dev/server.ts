/** What every server of the embedded stack looks like once it runs, and what it says on its way up. */
import type { Guardian } from './guardian.ts';

export type ServerName = 'postgres' | 'redis' | 'temporal';

/** One thing that happened while the stack came up or went down, in words for a person. */
export interface StackReport {
  readonly server: ServerName | 'stack';
  readonly state:
    'starting' | 'installing' | 'waiting' | 'ready' | 'failed' | 'stopping' | 'stopped';
  readonly message: string;
  /** Since this server's start (or stop) began, in milliseconds. */
  readonly elapsedMs: number;
}

export type ReportStep = (step: StackReport) => void;

/** A step on the way up; `elapsedMs` and `server` are added by {@link stepsOf}. */
export type TellStep = (state: StackReport['state'], message: string) => void;

export interface ServerHealth {
  readonly isHealthy: boolean;
  /** One short sentence: the version, or what is wrong. */
  readonly detail: string;
}

/** A server this process started and must stop. */
export interface RunningServer {
  readonly name: ServerName;
  /** What clients connect to: a `postgres://` or `redis://` URL, or `host:port` for Temporal. */
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  /** Asks the server to end, then insists; resolves when its process is gone. Safe to call twice. */
  stop(): Promise<void>;
  health(): Promise<ServerHealth>;
  /** Resolves when the process ends for whatever reason, with that reason. */
  readonly ended: Promise<string>;
}

/** What every `startX` needs. */
export interface StartServerOptions {
  /** Folder of the stack's state; this server keeps its own below it. */
  readonly home: string;
  /** Port to try first; the next free one is taken when it is in use. */
  readonly preferredPort: number;
  readonly tell: TellStep;
  /** Ends the child when this process dies without saying so. */
  readonly guardian?: Guardian;
  /** Gives up waiting, and stops what was started. */
  readonly signal?: AbortSignal;
  /** Whether missing software may be installed or downloaded. */
  readonly mayInstall: boolean;
}

/** A {@link TellStep} that stamps each step with its server and the time since now. */
export function stepsOf(server: StackReport['server'], report: ReportStep): TellStep {
  const begin = performance.now();
  return (state, message) => {
    report({ server, state, message, elapsedMs: Math.round(performance.now() - begin) });
  };
}

/** Exit codes of every command (contract, CLI), and errors as one clear line. */
import { CommanderError } from 'commander';
import { SyncError } from '../client/index.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, parked: 3, conflicts: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Of a fault in how the command was called; those that a program may want to tell apart have their own. */
export type UsageCode = 'USAGE' | 'FILE_EXISTS' | 'FOLDER_NOT_FOUND';

/** A fault in how the command was called; exits 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code: UsageCode;

  constructor(message: string, code: UsageCode = 'USAGE') {
    super(message);
    this.code = code;
  }
}

/** A thrown thing's message. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The exit code for a thrown thing, and the lines for stderr. */
export function explain(thrown: unknown, url: string): { code: ExitCode; lines: string[] } {
  if (thrown instanceof CommanderError) {
    // Commander has printed its own message; help and version are no faults.
    return { code: thrown.exitCode === 0 ? EXIT.done : EXIT.usage, lines: [] };
  }
  if (thrown instanceof UsageError) {
    const code = thrown.code === 'USAGE' ? '' : ` ${thrown.code}`;
    return { code: EXIT.usage, lines: [`error${code}: ${thrown.message}`] };
  }
  if (!(thrown instanceof SyncError)) {
    return { code: EXIT.failed, lines: [`error: ${messageOf(thrown)}`] };
  }
  const fields = thrown.errors.map((each) => `  ${each.pointer || '(all)'}: ${each.detail}`);
  return {
    code: EXIT.failed,
    lines: [`error ${thrown.code}: ${detailOf(thrown, url)}`, ...fields],
  };
}

/**
 * The same for a program: `{"error": {code, detail, …}}` on one line. What the API said more (`currentVersion`,
 * `errors`, `requestId`) is in it; a fault of the command line has the code `USAGE` or its own, one of this command `FAILED`.
 */
export function explainAsJson(thrown: unknown, url: string): string {
  if (!(thrown instanceof SyncError)) {
    const code = thrown instanceof UsageError ? thrown.code : 'FAILED';
    return JSON.stringify({ error: { code, detail: messageOf(thrown) } });
  }
  const { type, title, ...told } = thrown.problem ?? {};
  const detail = detailOf(thrown, url);
  return JSON.stringify({ error: { ...told, code: thrown.code, status: thrown.status, detail } });
}

function detailOf(error: SyncError, url: string): string {
  if (error.code === 'UNREACHABLE') {
    return `Syncline is not running at ${url}; start it with \`npm start\`.`;
  }
  if (error.code === 'UNAUTHENTICATED') {
    return `${error.message} Name one with --api-key or SYNCLINE_API_KEY.`;
  }
  return error.code === 'INTERNAL'
    ? `${error.message} Request id: ${error.requestId}.`
    : error.message;
}

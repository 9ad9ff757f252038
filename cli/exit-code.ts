/** Exit codes of every command (contract, CLI), and errors as one clear line. */
import { CommanderError } from 'commander';
import { SyncError } from '../client/index.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, parked: 3, conflicts: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A fault in how the command was called; exits 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
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
  if (thrown instanceof UsageError)
    return { code: EXIT.usage, lines: [`error: ${thrown.message}`] };
  if (!(thrown instanceof SyncError)) {
    return { code: EXIT.failed, lines: [`error: ${messageOf(thrown)}`] };
  }
  const fields = thrown.errors.map((each) => `  ${each.pointer || '(all)'}: ${each.detail}`);
  return {
    code: EXIT.failed,
    lines: [`error ${thrown.code}: ${detailOf(thrown, url)}`, ...fields],
  };
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

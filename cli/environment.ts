/** The only file of the command that reads the environment and the running stack's lock. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Environment {
  /** Where the API is: `SYNCLINE_URL`, else what the running stack wrote down, else the default. */
  readonly url: string;
  readonly apiKey: string | null;
  readonly hasColor: boolean;
}

const DEFAULT_URL = 'http://127.0.0.1:3100';

/** Reads `SYNCLINE_URL`, `SYNCLINE_API_KEY`, `SYNCLINE_HOME`, `NO_COLOR`. */
export function readEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  const home = env['SYNCLINE_HOME'] || '.syncline';
  return {
    url: env['SYNCLINE_URL'] || urlOfRunningStack(home) || DEFAULT_URL,
    apiKey: env['SYNCLINE_API_KEY'] || null,
    hasColor: !env['NO_COLOR'] && env['TERM'] !== 'dumb',
  };
}

// The lock is written by dev/lock.ts. Not there, or half written: nothing runs from this folder.
function urlOfRunningStack(home: string): string | null {
  try {
    const lock: unknown = JSON.parse(readFileSync(join(home, 'lock.json'), 'utf8'));
    const url = typeof lock === 'object' && lock !== null && 'url' in lock ? lock.url : null;
    return typeof url === 'string' && URL.canParse(url) ? url : null;
  } catch {
    return null;
  }
}

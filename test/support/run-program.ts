/** Runs a Node program to its end and keeps what it says. */
import { spawn } from 'node:child_process';

export interface ProgramRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** @param args the program's file and what it is given; `env` is all it sees of variables */
export function runProgram(
  args: readonly string[],
  place: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<ProgramRun> {
  const child = spawn(process.execPath, [...args], { ...place, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (text: Buffer) => (out += text.toString('utf8')));
  child.stderr.on('data', (text: Buffer) => (err += text.toString('utf8')));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

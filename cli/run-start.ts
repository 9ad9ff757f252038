/** Runs programs of `main/` as children with our terminal. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Starts the stack; resolves with its exit code. */
export function runStart(args: readonly string[]): Promise<number> {
  return runMain('start', args);
}

/** Starts `main/<name>` beside this file, built or from source; resolves with its exit code. */
export function runMain(name: string, args: readonly string[]): Promise<number> {
  const isSource = import.meta.url.endsWith('.ts');
  const script = fileURLToPath(
    new URL(`../main/${name}.${isSource ? 'ts' : 'js'}`, import.meta.url),
  );
  const loader = isSource ? ['--import', import.meta.resolve('tsx')] : [];
  const child = spawn(process.execPath, [...loader, script, ...args], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; the child stops in order, and we wait for it.
  const wait = (): void => undefined;
  const forward = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', wait);
  process.on('SIGTERM', forward);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.off('SIGINT', wait);
      process.off('SIGTERM', forward);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

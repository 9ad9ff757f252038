/** Starting one of our own files as a process, from the sources (through tsx) or from the build. */
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface NodeScript {
  readonly command: string;
  readonly args: string[];
}

/** Command line of `dev/<name>`, in whichever form this very file runs. */
export function nodeScript(name: 'guardian-process' | 'pglite-process'): NodeScript {
  const isSource = import.meta.url.endsWith('.ts');
  const file = fileURLToPath(new URL(`./${name}${isSource ? '.ts' : '.js'}`, import.meta.url));
  if (!isSource) return { command: process.execPath, args: [file] };
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return { command: process.execPath, args: ['--import', loader, file] };
}

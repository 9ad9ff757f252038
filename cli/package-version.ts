/** Version of the package this command belongs to. */
import { readFileSync } from 'node:fs';

/** Reads package.json, which lies one folder up in the sources and two up in `dist/`. */
export function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const text = readFileSync(new URL(path, import.meta.url), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}

/** Where the package lies, whether we run from `dist/` or from source. */
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

export const isBuilt = import.meta.url.endsWith('.js');
export const packageRoot = resolve(here, isBuilt ? '../..' : '..');

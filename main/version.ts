/** The product's version, from package.json. */
import { readFileSync } from 'node:fs';
import { packageRoot } from './package-root.ts';

export const VERSION = (
  JSON.parse(readFileSync(`${packageRoot}/package.json`, 'utf8')) as { version: string }
).version;

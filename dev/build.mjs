/** `npm run build`: compiles the sources into dist/, unless dist/ was made from these very files. */
import { fileURLToPath } from 'node:url';
import { checkNode, ensureBuilt } from './prepare.mjs';

checkNode();
try {
  await ensureBuilt(fileURLToPath(new URL('..', import.meta.url)));
  console.log('dist/ is up to date');
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

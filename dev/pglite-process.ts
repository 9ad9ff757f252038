/**
 * The embedded Postgres as a process: it computes in WASM and would block the event loop of
 * whoever shares its process. Arguments: data folder, port to prefer. Says `{port}` on its channel
 * when clients may come; ends when told (SIGTERM) or when its parent is gone.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { startPostgresFront } from './postgres-front.ts';

/** A client silent this long inside a transaction blocks all others: no honest one is. */
const MAX_SILENCE_MS = 30_000;
/** EX_SOFTWARE of sysexits.h. */
const BROKEN = 70;

const [dataDir, port] = process.argv.slice(2);
if (dataDir === undefined || port === undefined) {
  throw new Error('usage: pglite-process <data folder> <port>');
}

await makeDatabase(dataDir);
const db = await PGlite.create({ dataDir, extensions: { vector } });
const front = await startPostgresFront(
  {
    db,
    maxSilenceMs: MAX_SILENCE_MS,
    onBroken: (cause) => {
      console.error('PGlite broke:', cause);
      process.exit(BROKEN);
    },
  },
  Number(port),
);

let isStopping = false;
const stop = async (): Promise<void> => {
  if (isStopping) return;
  isStopping = true;
  await front.stop();
  await db.close();
  process.exit(0);
};
process.once('SIGTERM', () => void stop());
process.once('disconnect', () => void stop());
// Without a parent from the start (it died while the database opened) there is nobody to serve.
if (process.send === undefined || !process.connected) await stop();
else process.send({ port: front.port });

/**
 * A new database is made beside its place and put there whole: one that a kill left half made
 * would hang every later start.
 */
async function makeDatabase(folder: string): Promise<void> {
  if (existsSync(folder)) return;
  const draft = `${folder}.making`;
  rmSync(draft, { recursive: true, force: true });
  const made = await PGlite.create({ dataDir: draft });
  await made.close();
  renameSync(draft, folder);
}

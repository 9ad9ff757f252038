/** Writes a file that appears under its name when it is whole, or never. */
import { randomUUID } from 'node:crypto';
import { createWriteStream, rmSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const EXIT_AFTER_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;

/** Writes pieces to a file; one of that name is replaced. Ctrl-C leaves nothing behind. */
export async function writeWholeFile(
  name: string,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = resolve(name);
  const draft = `${file}.${randomUUID().slice(0, 8)}.part`;
  const giveUp = (signal: keyof typeof EXIT_AFTER_SIGNAL): void => {
    rmSync(draft, { force: true });
    process.exit(EXIT_AFTER_SIGNAL[signal]);
  };
  process.on('SIGINT', giveUp);
  process.on('SIGTERM', giveUp);
  try {
    await mkdir(dirname(file), { recursive: true });
    await pipeline(Readable.from(pieces), createWriteStream(draft, { flags: 'wx', mode: 0o600 }));
    const handle = await open(draft, 'r');
    await handle.sync().finally(() => handle.close());
    await rename(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  } finally {
    process.off('SIGINT', giveUp);
    process.off('SIGTERM', giveUp);
  }
}

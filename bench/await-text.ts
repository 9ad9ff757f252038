/** Waits for words to appear in a file, as closely as the system tells of its changes. */
import { readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { AppError } from '../domain/errors.ts';

/** The net under the events of the file system. */
const LOOK_EVERY_MS = 20;

/**
 * Resolves with the moment (`performance.now()`) the file was first seen to hold the text.
 * Start it before the edit whose effect it awaits: what happens meanwhile is not missed.
 *
 * @throws AppError INTERNAL after `timeoutMs`
 */
export async function awaitText(file: string, text: string, timeoutMs: number): Promise<number> {
  const name = basename(file);
  return new Promise((resolve, reject) => {
    const end = (): void => {
      watcher.close();
      clearInterval(net);
      clearTimeout(limit);
    };
    const look = (): void => {
      if (!contentOf(file).includes(text)) return;
      end();
      resolve(performance.now());
    };
    // The folder, not the file: a rename over the file would leave us watching the old one.
    const watcher = watch(dirname(file), (_event, changed) => {
      if (changed === null || changed === name) look();
    });
    const net = setInterval(look, LOOK_EVERY_MS);
    const limit = setTimeout(() => {
      end();
      reject(
        new AppError('INTERNAL', `"${text}" did not appear in ${name} within ${timeoutMs} ms`),
      );
    }, timeoutMs);
    look();
  });
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // Not there yet, or being replaced.
  }
}

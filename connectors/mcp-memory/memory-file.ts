/**
 * What we do with the memory file ourselves: never write it, only watch its folder and find out
 * why the server cannot read it. Messages name the file and the line, never what stands there.
 */
import { isUtf8 } from 'node:buffer';
import { watch } from 'node:fs';
import { readFile, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AppError } from '../../domain/errors.ts';
import type { ConnectorLog, ConnectorPermissions } from '../connector.ts';
import { isInside } from './mcp-memory-config.ts';

/**
 * The server reads a missing folder as an empty graph; we do not.
 *
 * @throws AppError CONNECTOR_UNREACHABLE
 */
export async function checkFolder(file: string): Promise<void> {
  const folder = dirname(file);
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory()) return;
  throw unreachable(`The folder ${folder} of the memory file is not there.`);
}

/** @throws AppError PATH_ESCAPES_ROOT when links, the file itself included, lead out of the allowed folders */
export async function checkRealFile(
  file: string,
  { fileRoots }: ConnectorPermissions,
): Promise<void> {
  const real = await realFile(file);
  const roots = await Promise.all(fileRoots.map((root) => realpath(root).catch(() => root)));
  if (roots.some((root) => isInside(root, real))) return;
  throw new AppError(
    'PATH_ESCAPES_ROOT',
    `The memory file ${file} leads out of the allowed folders.`,
  );
}

/** The file's path with links followed: one file, one path. The file may be missing. */
export async function realFile(file: string): Promise<string> {
  const real = await realpath(file).catch(() => null);
  if (real !== null) return real;
  // A link to a file that is not there yet: the server would make it where the link points.
  const target = await readlink(file).catch(() => null);
  const path = target === null ? file : resolve(dirname(file), target);
  const folder = await realpath(dirname(path)).catch(() => dirname(path));
  return join(folder, basename(path));
}

/**
 * Finds what the server stumbled over.
 *
 * @returns the error to throw; null when the file is fine now
 */
export async function diagnoseFile(file: string): Promise<AppError | null> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    if (code === 'ENOENT') return null;
    return unreachable(`The memory file ${file} cannot be read (${code}).`);
  }
  if (!isUtf8(bytes)) {
    return new AppError('REMOTE_NOT_UTF8', `The memory file ${file} is not UTF-8 text.`);
  }
  const line = malformedLine(bytes.toString('utf8'));
  if (line === null) return null;
  return new AppError(
    'REMOTE_MALFORMED',
    `Line ${line} of the memory file ${file} is not a JSON object. Mend or remove that line.`,
    { extra: { file, line } },
  );
}

/** Tells two states of a file apart while nobody forges its times. */
export async function fileStamp(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => null);
  return found ? `${found.ino} ${found.mtimeNs} ${found.size}` : 'missing';
}

/** Number (from 1) of the first line the memory server cannot read, or null. */
export function malformedLine(text: string): number | null {
  const at = text.split('\n').findIndex((line) => line.trim() !== '' && !isReadable(line));
  return at < 0 ? null : at + 1;
}

/** Calls back at each event on the file: writes, atomic renames, deletes. Returns how to stop. */
export function watchFile(file: string, onEvent: () => void, log: ConnectorLog): () => void {
  const name = basename(file);
  try {
    // The folder, not the file: a rename over the file would leave us watching the old one.
    const watcher = watch(dirname(file), (_event, changed) => {
      if (changed === null || changed === name) onEvent();
    });
    watcher.on('error', () => log.warn({ file }, 'the memory file is no longer watched'));
    return () => watcher.close();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    log.warn({ file, code }, 'the memory file cannot be watched; polling finds its changes');
    return () => undefined;
  }
}

// The server reads `item.type` of each line, so any JSON value but null will do.
function isReadable(line: string): boolean {
  try {
    return JSON.parse(line) !== null;
  } catch {
    return false;
  }
}

function unreachable(message: string): AppError {
  return new AppError('CONNECTOR_UNREACHABLE', message, { retryable: true });
}

/** Reads one text file, with every way it can be unusable told apart. Nothing is ever half read. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { ErrorCode } from '../../domain/errors.ts';
import { AppError } from '../../domain/errors.ts';
import { hashText, type Hash } from '../../domain/hash.ts';
import { isMissing, realPathIn, unreachable, type Place } from './places.ts';

export type FileState =
  | { readonly status: 'missing' }
  | { readonly status: 'faulty'; readonly code: ErrorCode; readonly detail: string }
  | TextFile;

export interface TextFile {
  readonly status: 'text';
  /** Without its byte order mark. */
  readonly text: string;
  readonly hasBom: boolean;
  /** Of the bytes. */
  readonly hash: Hash;
  /** When it was last written, ms since the epoch. */
  readonly changedAtMs: number;
}

/** A larger file is refused before it is read: parsing it would stall the worker. */
export const MAX_FILE_BYTES = 5 * 1024 * 1024;

const BOM = '\uFEFF';

/**
 * A place's file as it is now.
 *
 * @throws AppError CONNECTOR_UNREACHABLE when it is there but cannot be read (rights, a folder, I/O)
 */
export async function readTextFile(place: Place, path: string): Promise<FileState> {
  try {
    const real = await realPathIn(place, path);
    const handle = await openForReading(real);
    if (!handle) return { status: 'missing' };
    try {
      return await readHandle(handle);
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if (thrown instanceof AppError && thrown.code === 'PATH_ESCAPES_ROOT') return faulty(thrown);
    throw unreachable(`${place.idPrefix}${path}`, thrown);
  }
}

/** The text of a file that must be usable; null when it is missing. @throws AppError for any fault */
export async function requireText(place: Place, path: string): Promise<TextFile | null> {
  const state = await readTextFile(place, path);
  if (state.status === 'missing') return null;
  if (state.status === 'text') return state;
  throw new AppError(state.code, `${place.idPrefix}${path}: ${state.detail}`);
}

/** Opens a real path, or null when nothing is there. A pipe is not waited for. */
export async function openForReading(real: string): Promise<FileHandle | null> {
  try {
    return await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw thrown;
  }
}

/** What an open file holds now, read from its beginning. @throws AppError for what is no file */
export async function readHandle(handle: FileHandle): Promise<FileState> {
  const stat = await handle.stat();
  if (!stat.isFile()) throw new AppError('CONNECTOR_UNREACHABLE', 'it is not a file');
  if (stat.size > MAX_FILE_BYTES) return tooLarge();
  const bytes = await readBytes(handle);
  if (bytes.length > MAX_FILE_BYTES) return tooLarge();
  return textOf(bytes, stat.mtimeMs);
}

/**
 * The bytes of a text, with or without a byte order mark. A text that itself begins with one gets
 * another before it, because reading takes the first for the file's.
 */
export function bytesOf(text: string, hasBom: boolean): Buffer {
  return Buffer.from(hasBom || text.startsWith(BOM) ? BOM + text : text);
}

async function readBytes(handle: FileHandle): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let at = 0;
  // One byte more than allowed shows a file that grew since its size was asked.
  while (at <= MAX_FILE_BYTES) {
    const chunk = Buffer.allocUnsafe(256 * 1024);
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    at += bytesRead;
  }
  return Buffer.concat(chunks);
}

function textOf(bytes: Buffer, mtimeMs: number): FileState {
  const text = decoded(bytes);
  if (text === null) return { status: 'faulty', code: 'REMOTE_NOT_UTF8', detail: 'not UTF-8 text' };
  const hasBom = text.startsWith(BOM);
  return {
    status: 'text',
    text: hasBom ? text.slice(1) : text,
    hasBom,
    hash: hashText(bytes),
    changedAtMs: Math.round(mtimeMs),
  };
}

function decoded(bytes: Buffer): string | null {
  // A NUL byte is valid UTF-8 but means a binary file.
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function tooLarge(): FileState {
  const limit = MAX_FILE_BYTES / (1024 * 1024);
  return { status: 'faulty', code: 'REMOTE_TOO_LARGE', detail: `larger than ${limit} MiB` };
}

function faulty(error: AppError): FileState {
  return { status: 'faulty', code: error.code, detail: error.message };
}

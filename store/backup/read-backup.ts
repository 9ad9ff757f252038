/**
 * Reads a backup from its first byte to its last and proves every sum on the way. Whoever has read it
 * to the end knows that the file is whole; touches no database.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { z } from 'zod';
import { AppError, messageOf } from '../../domain/errors.ts';
import {
  BACKUP_FORMAT_VERSION,
  backupEndSchema,
  manifestSchema,
  tableBeginSchema,
  tableEndSchema,
  type BackupManifest,
} from './backup-format.ts';
import { createRowSummer, type RowSummer, type TableSums } from './row-sum.ts';

export type BackupPart =
  | { readonly kind: 'manifest'; readonly manifest: BackupManifest }
  /** Some rows of a table, as they stand in the file. */
  | { readonly kind: 'rows'; readonly table: string; readonly lines: readonly string[] }
  /** After the last row of a table; its sums fit. */
  | { readonly kind: 'end'; readonly table: string; readonly sums: TableSums };

/** No line of ours is longer: Postgres takes no value above 1 GiB, and contexts are far below. */
const MAX_LINE_CHARS = 512 * 1024 * 1024;
/** Characters of rows that are handed on together. */
const MAX_PART_CHARS = 4 * 1024 * 1024;
const MAX_PART_ROWS = 1_000;

/** The parts in order. @throws AppError BACKUP_INVALID, BACKUP_DAMAGED, BACKUP_TOO_NEW; NOT_FOUND */
export async function* readBackup(file: string): AsyncGenerator<BackupPart> {
  const whole = createHash('sha256');
  let manifest: BackupManifest | null = null;
  let open: OpenTable | null = null;
  const left: BackupManifest['tables'] = [];
  let isOver = false;
  for await (const lines of linesOf(file)) {
    for (const line of lines) {
      if (isOver) throw damaged('something follows its end');
      if (manifest === null) {
        manifest = readManifest(line);
        left.push(...manifest.tables);
        whole.update(line).update('\n');
        yield { kind: 'manifest', manifest };
        continue;
      }
      if (line.startsWith('[')) {
        if (!open) throw damaged('rows belong to no table');
        whole.update(line).update('\n');
        const part = takeRow(open, line);
        if (part) yield part;
        continue;
      }
      const mark = readMark(line);
      if ('table' in mark) {
        if (open || mark.table !== left[0]?.name) throw damaged(`table ${mark.table} is misplaced`);
        open = { name: mark.table, summer: createRowSummer(), lines: [], chars: 0 };
      } else if (open) {
        const rest = restOf(open);
        if (rest) yield rest;
        yield endOf(open, mark, left.shift()!.rows);
        open = null;
      } else {
        if (left.length > 0 || mark.end !== 'backup') throw damaged('tables are missing');
        if (mark.sha256 !== whole.copy().digest('hex')) throw damaged('its checksum does not fit');
        isOver = true;
        continue;
      }
      whole.update(line).update('\n');
    }
  }
  if (manifest === null) throw invalid('it is empty');
  if (!isOver) throw damaged('it has no end');
}

interface OpenTable {
  readonly name: string;
  readonly summer: RowSummer;
  lines: string[];
  chars: number;
}

function takeRow(open: OpenTable, line: string): BackupPart | null {
  open.summer.add(line);
  open.lines.push(line);
  open.chars += line.length;
  const isFull = open.chars >= MAX_PART_CHARS || open.lines.length >= MAX_PART_ROWS;
  return isFull ? restOf(open) : null;
}

function restOf(open: OpenTable): BackupPart | null {
  const { lines, name } = open;
  open.lines = [];
  open.chars = 0;
  return lines.length === 0 ? null : { kind: 'rows', table: name, lines };
}

function endOf(open: OpenTable, mark: Mark, promised: number): BackupPart {
  const sums = open.summer.end();
  const fits =
    'end' in mark &&
    'rows' in mark &&
    mark.end === open.name &&
    mark.rows === sums.rows &&
    promised === sums.rows &&
    mark.sha256 === sums.sha256 &&
    mark.sum === sums.sum;
  if (!fits) throw damaged(`the rows of table ${open.name} are not those it was made with`);
  return { kind: 'end', table: open.name, sums };
}

function readManifest(line: string): BackupManifest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw invalid('its first line is not JSON', cause);
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) throw invalid('its first line is not a manifest');
  const { formatVersion } = parsed.data;
  if (formatVersion > BACKUP_FORMAT_VERSION) {
    throw new AppError('BACKUP_TOO_NEW', `the backup has format ${formatVersion}`);
  }
  return parsed.data;
}

type Mark =
  | z.output<typeof tableBeginSchema>
  | z.output<typeof tableEndSchema>
  | z.output<typeof backupEndSchema>;

function readMark(line: string): Mark {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw damaged('a line is not JSON');
  }
  for (const schema of [tableBeginSchema, backupEndSchema, tableEndSchema]) {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
  }
  throw damaged('a line is of no known kind');
}

/** Whole lines, in the pieces they arrive in. */
async function* linesOf(file: string): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let pieces: string[] = [];
  let chars = 0;
  try {
    for await (const chunk of unpacked(file)) {
      const parts = decoder.decode(chunk, { stream: true }).split('\n');
      const last = parts.pop()!;
      if (parts.length > 0) {
        parts[0] = pieces.join('') + parts[0]!;
        yield parts;
        pieces = [];
        chars = 0;
      }
      pieces.push(last);
      chars += last.length;
      if (chars > MAX_LINE_CHARS) throw damaged('a line has no end');
    }
    decoder.decode();
  } catch (error) {
    throw translate(error);
  }
  if (chars > 0) throw damaged('its last line is cut off');
}

function unpacked(file: string): AsyncIterable<Buffer> {
  const source = createReadStream(file);
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  gunzip.on('close', () => source.destroy());
  return Readable.from(source.pipe(gunzip)) as AsyncIterable<Buffer>;
}

function translate(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOENT' || code === 'EISDIR' || code === 'EACCES') {
    return new AppError('NOT_FOUND', `the file cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
  // https://github.com/madler/zlib/blob/master/inflate.c: what zlib says of a wrong beginning.
  if (/incorrect header check/.test(messageOf(error)))
    return invalid('it is not compressed with gzip', error);
  return damaged(`it cannot be read to its end (${messageOf(error)})`, error);
}

function invalid(why: string, cause?: unknown): AppError {
  return new AppError('BACKUP_INVALID', `this is not a backup of Syncline: ${why}`, { cause });
}

function damaged(why: string, cause?: unknown): AppError {
  return new AppError('BACKUP_DAMAGED', `the backup is damaged: ${why}`, { cause });
}

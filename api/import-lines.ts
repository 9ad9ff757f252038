/** What the lines of an import say: versions, or why a line says nothing that can be taken. */
import type { z } from 'zod';
import { AppError, toAppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import { isJsonObject, memberOf, type Json } from '../domain/json.ts';
import {
  EXPORT_FORMAT,
  EXPORT_FORMAT_VERSION,
  type ImportFault,
  type ImportVersion,
} from '../store/contract.ts';
import { MAX_DATA_DEPTH } from './json/depth.ts';
import { readJson } from './json/read-json.ts';
import type { StreamLine } from './ndjson.ts';
import { exportLineSchema } from './schemas/transfer.ts';
import { validate } from './validate.ts';

/** `data` sits in the line's own object. */
const MAX_LINE_DEPTH = MAX_DATA_DEPTH + 1;

const TOO_DEEP = `line /data: is nested deeper than ${MAX_DATA_DEPTH}`;

/**
 * Reads line by line; manifests are skipped wherever they stand, so files may be put together.
 * @param at stands in for times a line does not say
 * @throws AppError VALIDATION for the manifest of a newer format, or why the lines broke off; extra: `line`
 */
export async function* readImportLines(
  lines: AsyncIterable<StreamLine>,
  at: Date,
): AsyncGenerator<ImportVersion | ImportFault> {
  let next = 1;
  try {
    for await (const line of lines) {
      next = line.line;
      const read = readLine(line, at);
      if (read) yield read;
      next += 1;
    }
  } catch (error) {
    throw atLine(error, next);
  }
}

function atLine(error: unknown, line: number): AppError {
  const { code, message, retryable, cause, errors, extra } = toAppError(error);
  return new AppError(code, `Line ${line}: ${message}`, {
    retryable,
    cause,
    errors,
    extra: { ...extra, line },
  });
}

function readLine({ line, bytes }: StreamLine, at: Date): ImportVersion | ImportFault | null {
  if (bytes === null)
    return { line, code: 'CONTEXT_TOO_LARGE', detail: 'The line is longer than any context.' };
  try {
    const value = readJson(bytes, MAX_LINE_DEPTH);
    if (isManifest(value)) return null;
    return versionOf(line, validate(exportLineSchema, value, 'line'), at);
  } catch (error) {
    const { code, message: detail } = toAppError(error);
    if (error instanceof UnknownFormat || code === 'INTERNAL') throw error;
    if (code === 'TOO_DEEP') return { line, code, detail: TOO_DEEP };
    return { line, code, detail };
  }
}

/** The whole import is refused, not one line. */
class UnknownFormat extends AppError {}

function isManifest(value: Json): boolean {
  if (!isJsonObject(value) || memberOf(value, 'format') !== EXPORT_FORMAT) return false;
  const version = memberOf(value, 'formatVersion');
  if (typeof version === 'number' && version <= EXPORT_FORMAT_VERSION) return true;
  const detail = `The export has format version ${JSON.stringify(version)}; this server reads up to ${EXPORT_FORMAT_VERSION}.`;
  throw new UnknownFormat('VALIDATION', detail);
}

function versionOf(line: number, said: z.output<typeof exportLineSchema>, at: Date): ImportVersion {
  const { updatedAt = at, createdAt = updatedAt, compressed, hash, reason, data } = said;
  const written = said.version === 1 ? 'create' : 'update';
  const changeType = said.changeType ?? (said.deleted ? 'delete' : written);
  return {
    line,
    key: said.key as ContextKey,
    version: said.version,
    changeType,
    reason: reason ?? (said.deleted ? 'user' : null),
    kind: said.kind,
    source: said.source,
    parentId: said.parentId,
    sessionId: said.sessionId,
    agentId: said.agentId,
    tags: said.tags,
    metadata: said.metadata,
    encrypted: said.encrypted,
    compressed,
    hash: said.encrypted ? undefined : hash,
    createdAt,
    createdBy: said.createdBy,
    updatedAt,
    updatedBy: said.updatedBy,
    expiresAt: said.expiresAt,
    data,
  };
}

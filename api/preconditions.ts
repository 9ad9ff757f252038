/** `If-Match` and `If-None-Match` (RFC 9110, 13.1). An entity tag is the version, quoted. */
import type { Request, Response } from 'express';
import { AppError } from '../domain/errors.ts';
import { stateOf } from './request-state.ts';

/** Entity tag of a version. */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/** Whether the caller's copy is this version still. */
export function isNotModified(req: Request, version: number): boolean {
  const header = req.get('if-none-match');
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etagOf(version));
}

export interface ConditionalWrite<Result> {
  readonly req: Request;
  readonly res: Response;
  /** `ifVersion` of the request itself. */
  readonly ifVersion: number | undefined;
  /** Version the context has now; 0 when there is none. */
  readonly currentVersion: () => Promise<number>;
  readonly write: (ifVersion: number | undefined) => Promise<Result>;
}

/** How often `If-Match: *` is tried; every try lost is another writer's success. */
const MAX_TRIES = 100;

/**
 * Runs a write under the request's precondition. A mismatch of `If-Match` answers 412, one of
 * `ifVersion` 409; both are VERSION_CONFLICT with `currentVersion`.
 *
 * @throws AppError VERSION_CONFLICT, VALIDATION (bad header, or both given and different)
 */
export async function conditionally<Result>(request: ConditionalWrite<Result>): Promise<Result> {
  const header = request.req.get('if-match');
  if (header === undefined) return request.write(request.ifVersion);
  const wanted = parseIfMatch(header);
  if (wanted === '*') return writeIfExists(request);
  const current = wanted.length === 1 ? wanted[0]! : await request.currentVersion();
  if (!wanted.includes(current)) throw preconditionFailed(request.res, current);
  if (request.ifVersion !== undefined && request.ifVersion !== current) {
    throw new AppError('VALIDATION', '`If-Match` and `ifVersion` name different versions.');
  }
  return asPrecondition(request.res, () => request.write(current));
}

async function writeIfExists<Result>(request: ConditionalWrite<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    const current = await request.currentVersion();
    if (current === 0) throw preconditionFailed(request.res, 0);
    if (request.ifVersion !== undefined) return request.write(request.ifVersion);
    try {
      return await request.write(current);
    } catch (error) {
      if (!isVersionConflict(error) || tries >= MAX_TRIES) throw error;
    }
  }
}

async function asPrecondition<Result>(
  res: Response,
  write: () => Promise<Result>,
): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if (isVersionConflict(error)) stateOf(res).problemStatus = 412;
    throw error;
  }
}

function preconditionFailed(res: Response, currentVersion: number): AppError {
  stateOf(res).problemStatus = 412;
  const detail =
    currentVersion === 0
      ? 'The context does not exist.'
      : `The context has version ${currentVersion}, which \`If-Match\` does not name.`;
  return new AppError('VERSION_CONFLICT', detail, { extra: { currentVersion } });
}

const isVersionConflict = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'VERSION_CONFLICT';

/** Versions named; a tag that is not one of ours (or weak) names -1, which nothing has. */
function parseIfMatch(header: string): '*' | readonly number[] {
  if (header.trim() === '*') return '*';
  const tags = header.split(',').map((tag) => tag.trim());
  if (!tags.every((tag) => /^(W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    throw new AppError('VALIDATION', '`If-Match` must be `*` or quoted versions, e.g. `"3"`.');
  }
  const versions = tags.map((tag) => (/^"\d{1,9}"$/.test(tag) ? Number(tag.slice(1, -1)) : -1));
  // One foreign tag alone: the current version must still be looked up for the answer.
  return versions.length === 1 && versions[0] === -1 ? [-1, -1] : versions;
}

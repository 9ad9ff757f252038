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

/** How often a write is tried whose condition names no single version; a try lost is another's success. */
const MAX_TRIES = 100;

/**
 * Runs a write under the request's preconditions. One of `If-Match` or `If-None-Match` that is not met
 * answers 412, a mismatch of `ifVersion` 409; both are VERSION_CONFLICT with `currentVersion`.
 *
 * @throws AppError VERSION_CONFLICT, VALIDATION (bad header, or one that contradicts `ifVersion`)
 */
export async function conditionally<Result>(request: ConditionalWrite<Result>): Promise<Result> {
  const { req, res, ifVersion } = request;
  const conditions = {
    match: namedBy('If-Match', req),
    noneMatch: namedBy('If-None-Match', req),
  };
  if (conditions.match === null && conditions.noneMatch === null) return request.write(ifVersion);
  requireAgreement(conditions, ifVersion);
  const only = onlyVersion(conditions);
  // Where `ifVersion` names another, they cannot both be met: what there is now decides which one fails.
  if (only === null || (ifVersion ?? only) !== only) return writeWhenMet(request, conditions);
  try {
    return await request.write(only);
  } catch (error) {
    if (isVersionConflict(error)) stateOf(res).problemStatus = 412;
    throw error;
  }
}

/** Versions a header names; `*`: every one there is. */
type Named = '*' | readonly number[];

/** Null: the header is missing. */
interface Conditions {
  readonly match: Named | null;
  readonly noneMatch: Named | null;
}

const names = (named: Named, version: number): boolean =>
  named === '*' ? version > 0 : named.includes(version);

function isMet({ match, noneMatch }: Conditions, version: number): boolean {
  if (match !== null && !names(match, version)) return false;
  return noneMatch === null || !names(noneMatch, version);
}

/** @throws AppError VALIDATION where no version could meet both */
function requireAgreement({ match }: Conditions, ifVersion: number | undefined): void {
  if (ifVersion === undefined || match === null || match === '*') return;
  if (match.length === 0 || match.includes(ifVersion)) return;
  throw new AppError('VALIDATION', '`If-Match` and `ifVersion` name different versions.');
}

/** The one version that meets them, where it need not be asked for; 0: there is no context. */
function onlyVersion({ match, noneMatch }: Conditions): number | null {
  if (match === null) return noneMatch === '*' ? 0 : null;
  return noneMatch === null && match !== '*' && match.length === 1 ? match[0]! : null;
}

async function writeWhenMet<Result>(
  request: ConditionalWrite<Result>,
  conditions: Conditions,
): Promise<Result> {
  const { ifVersion, res } = request;
  for (let tries = 1; ; tries += 1) {
    const current = await request.currentVersion();
    if (!isMet(conditions, current)) throw preconditionFailed(res, current);
    if (ifVersion !== undefined && ifVersion !== current) {
      throw conflict(`The current version is ${current}, not ${ifVersion}.`, current);
    }
    try {
      return await request.write(current);
    } catch (error) {
      if (!isVersionConflict(error) || tries >= MAX_TRIES) throw error;
    }
  }
}

function preconditionFailed(res: Response, currentVersion: number): AppError {
  stateOf(res).problemStatus = 412;
  const detail =
    currentVersion === 0
      ? 'The context does not exist.'
      : `The context has version ${currentVersion}, which the precondition does not allow.`;
  return conflict(detail, currentVersion);
}

const conflict = (detail: string, currentVersion: number): AppError =>
  new AppError('VERSION_CONFLICT', detail, { extra: { currentVersion } });

const isVersionConflict = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'VERSION_CONFLICT';

/** Versions a header names, null without it; a tag that is none of ours names nothing. */
function namedBy(header: 'If-Match' | 'If-None-Match', req: Request): Named | null {
  const text = req.get(header);
  if (text === undefined) return null;
  if (text.trim() === '*') return '*';
  const tags = text.split(',').map((tag) => tag.trim());
  if (!tags.every((tag) => /^(W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    throw new AppError(
      'VALIDATION',
      `\`${header}\` must be \`*\` or quoted versions, e.g. \`"3"\`.`,
    );
  }
  // Tags are compared as text, and `If-Match` takes no weak ones (RFC 9110, 8.8.3.2).
  const ours = header === 'If-Match' ? /^"([1-9]\d{0,9})"$/ : /^(?:W\/)?"([1-9]\d{0,9})"$/;
  return tags.flatMap((tag) => ours.exec(tag)?.slice(1).map(Number) ?? []);
}

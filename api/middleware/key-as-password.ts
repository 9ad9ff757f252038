/**
 * How a browser opens a page of ours while keys are on: it asks for a user name and a password, and
 * the password is the API key. Only for pages named to it; the API itself takes no `Basic`. Browsers
 * send such a password along by themselves, whoever made them ask, so what changes something must come
 * from the page itself.
 */
import type { Request, RequestHandler } from 'express';
import { AppError } from '../../domain/errors.ts';
import { checkScope } from './authenticate.ts';

const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
const CHALLENGES = ['Basic realm="Syncline (password: an API key)", charset="UTF-8"', 'Bearer'];

/**
 * Runs before `authenticate`, which then sees the password as any other key.
 * @throws AppError ORIGIN_REFUSED for a change that does not come from the page itself
 */
export function keyAsPassword(): RequestHandler {
  return (req, _res, next) => {
    const key = passwordOf(req);
    if (!READS.has(req.method) && !isSameOrigin(req, key === null)) {
      throw new AppError('ORIGIN_REFUSED', 'Only the page itself may ask for this.');
    }
    if (key !== null) req.headers.authorization = `Bearer ${key}`;
    next();
  };
}

/**
 * Lets callers with the scope `root` pass; makes a browser ask the others for a key.
 * @throws AppError UNAUTHENTICATED, FORBIDDEN, or why the key could not be looked up
 */
export function requireRootOnPage(): RequestHandler {
  return (_req, res, next) => {
    try {
      checkScope(res, 'root');
    } catch (error) {
      const isUnknown = error instanceof AppError && error.code === 'UNAUTHENTICATED';
      if (isUnknown) res.setHeader('WWW-Authenticate', CHALLENGES);
      throw error;
    }
    next();
  };
}

/** The password of `Authorization: Basic`, or null; RFC 7617: after the first colon. */
function passwordOf(req: Request): string | null {
  const encoded = /^Basic +([\w+/]+=*) *$/i.exec(req.get('authorization') ?? '')?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}

/**
 * Whether a browser's request comes from a page of this very server. `Sec-Fetch-Site` says so where
 * the connection is safe, `Origin` (on every change) everywhere.
 * @param unsaid what to answer when neither is there: no browser of today, or no browser
 */
function isSameOrigin(req: Request, unsaid: boolean): boolean {
  const site = req.get('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin';
  const origin = req.get('origin');
  if (origin === undefined) return unsaid;
  const host = hostOf(origin);
  return host !== null && host === hostOf(`http://${req.get('host') ?? ''}`);
}

function hostOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).host : null;
}

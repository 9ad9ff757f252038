/**
 * With keys off, only a program on this machine that means this machine may call: a page on the web
 * could otherwise reach us through DNS rebinding (Host) or a cross-site request (Origin).
 */
import type { RequestHandler } from 'express';
import { AppError } from '../../domain/errors.ts';
import { isProbe } from './uri-limit.ts';

/** @throws AppError ORIGIN_REFUSED */
export function loopbackOnly(): RequestHandler {
  // Nearly all callers name the same host; reading it as a URL costs more than all else here.
  let known: string | undefined;
  return (req, _res, next) => {
    const host = req.get('host');
    const isOurs =
      host === undefined ? isProbe(req) : host === known || isLoopbackUrl(`http://${host}`);
    if (!isOurs) {
      throw new AppError('ORIGIN_REFUSED', 'Keys are off, and `Host` is not a loopback address.');
    }
    known = host;
    const origin = req.get('origin');
    if (origin !== undefined && !isLoopbackUrl(origin)) {
      throw new AppError('ORIGIN_REFUSED', 'Keys are off, and `Origin` is not a loopback address.');
    }
    next();
  };
}

/** Whether a URL's host is 127.0.0.0/8, ::1 or localhost. */
export function isLoopbackUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const host = new URL(text).hostname.toLowerCase();
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
  );
}

/** One log line per answer. Never bodies, headers or query strings: they may hold secrets. */
import type { Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { stateOf } from '../request-state.ts';

/** Logs answers: probes at debug, 5xx at error, all else at info. */
export function requestLog(log: Logger): RequestHandler {
  return (req, res, next) => {
    const beganMs = Date.now();
    let isTold = false;
    // An answer that is out, or a caller who went away before; the first of them tells.
    const tell = (fault?: Error): void => {
      if (isTold) return;
      isTold = true;
      const level = levelOf(req, res, fault);
      if (log.isLevelEnabled(level)) log[level](factsOf(req, res, { beganMs, fault }), 'answered');
    };
    res
      .once('finish', () => tell())
      .once('close', () => tell())
      .once('error', tell);
    next();
  };
}

function levelOf(req: Request, res: Response, fault?: Error): 'error' | 'debug' | 'info' {
  if (res.statusCode >= 500 || fault) return 'error';
  return req.originalUrl.startsWith('/api/context/health') ? 'debug' : 'info';
}

function factsOf(
  req: Request,
  res: Response,
  { beganMs, fault }: { readonly beganMs: number; readonly fault: Error | undefined },
): object {
  const { requestId, callId, caller } = stateOf(res);
  const status = res.statusCode;
  const err = fault ?? (status >= 500 ? new Error(`failed with status code ${status}`) : undefined);
  return {
    requestId,
    req: { method: req.method, path: req.originalUrl.split('?', 1)[0] },
    res: { status },
    ...(err ? { err } : {}),
    durationMs: Date.now() - beganMs,
    call: callId,
    tenant: caller?.tenant ?? null,
  };
}

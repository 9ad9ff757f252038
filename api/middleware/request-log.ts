/** One log line per answer. Never bodies, headers or query strings: they may hold secrets. */
import type { RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import { stateOf } from '../request-state.ts';

/** Logs answers: probes at debug, 5xx at error, all else at info. */
export function requestLog(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    quietReqLogger: true,
    genReqId: (_req, res) => stateOf(res as Response).requestId,
    customLogLevel: (req, res, error) => {
      if (res.statusCode >= 500 || error) return 'error';
      return req.url.startsWith('/api/context/health') ? 'debug' : 'info';
    },
    customSuccessMessage: () => 'answered',
    customErrorMessage: () => 'answered',
    customProps: (_req, res) => {
      const state = stateOf(res as Response);
      return { call: state.callId, tenant: state.caller?.tenant ?? null };
    },
    serializers: {
      req: (req: { method: string; url: string }) => ({
        method: req.method,
        path: req.url.split('?', 1)[0],
      }),
      res: (res: { statusCode: number }) => ({ status: res.statusCode }),
    },
  });
}

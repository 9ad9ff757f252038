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
    customAttributeKeys: { reqId: 'requestId', responseTime: 'durationMs' },
    customSuccessObject: (_req, res, facts: object) => ({
      ...facts,
      ...whoAndWhat(res as Response),
    }),
    customErrorObject: (_req, res, _error, facts: object) => ({
      ...facts,
      ...whoAndWhat(res as Response),
    }),
    serializers: {
      req: (req: { method: string; url: string }) => ({
        method: req.method,
        path: req.url.split('?', 1)[0],
      }),
      res: (res: { statusCode: number }) => ({ status: res.statusCode }),
    },
  });
}

function whoAndWhat(res: Response): object {
  const { callId, caller } = stateOf(res);
  return { call: callId, tenant: caller?.tenant ?? null };
}

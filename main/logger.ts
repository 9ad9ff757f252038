/** The one logger: JSON lines to standard error, secrets and credentials cut out. */
import { pino, type Logger } from 'pino';
import type { Config } from './config.ts';

export function createLogger(config: Config): Logger {
  return pino(
    {
      level: config.log.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: ['req.headers.authorization', 'req.headers.cookie', '*.password', '*.apiKey'],
    },
    pino.destination({ fd: 2, sync: false }),
  );
}

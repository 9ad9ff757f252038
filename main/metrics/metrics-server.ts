/** `/metrics` of a worker that is a process of its own: nothing else is served, and to this machine only. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError, messageOf } from '../../domain/errors.ts';
import { CONTENT_TYPE } from '../../api/routes/metrics.ts';
import type { Metrics } from './metrics.ts';

export interface MetricsServer {
  /** `http://host:port/metrics` */
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts to listen. @throws AppError PORT_IN_USE, SERVER_NOT_STARTED */
export async function startMetricsServer(
  metrics: Pick<Metrics, 'text'>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?', 1)[0] !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { 'Content-Type': CONTENT_TYPE }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (fault: NodeJS.ErrnoException) => {
      const isTaken = fault.code === 'EADDRINUSE';
      const detail = `metrics cannot be served on ${host}:${port} (metrics.port): ${messageOf(fault)}`;
      reject(
        new AppError(isTaken ? 'PORT_IN_USE' : 'SERVER_NOT_STARTED', detail, { cause: fault }),
      );
    });
    server.listen(port, host, resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}/metrics`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

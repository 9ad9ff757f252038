/** Stands before an API and lets answers of writes get lost after the server has done its work. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface LossyProxy {
  readonly url: string;
  /** The next so many writes are done, and their answers lost. */
  loseAnswers(count: number): void;
  /** Writes passed on, those with lost answers included. */
  readonly writes: number;
  /** Answers `429` with `Retry-After` to the next so many requests, without passing them on. */
  refuse(count: number, retryAfterS: number): void;
  close(): Promise<void>;
}

export async function startLossyProxy(target: string): Promise<LossyProxy> {
  let losing = 0;
  let writes = 0;
  let refusing = { count: 0, retryAfterS: 0 };
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => void pass());
    async function pass(): Promise<void> {
      if (refusing.count > 0) {
        refusing = { ...refusing, count: refusing.count - 1 };
        res.writeHead(429, { 'retry-after': String(refusing.retryAfterS) }).end('{}');
        return;
      }
      const { method = 'GET', url = '/' } = req;
      const {
        host: _host,
        connection: _connection,
        'content-length': _length,
        ...headers
      } = req.headers;
      const answer = await fetch(target + url, {
        method,
        headers: headers as Record<string, string>,
        ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
      }).catch(() => null);
      const text = (await answer?.text()) ?? '';
      if (method !== 'GET') writes += 1;
      if (!answer || (method !== 'GET' && losing > 0)) {
        losing -= 1;
        req.socket.destroy();
        return;
      }
      res.writeHead(answer.status, {
        'content-type': answer.headers.get('content-type') ?? 'application/json',
      });
      res.end(text);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseAnswers: (count) => void (losing = count),
    refuse: (count, retryAfterS) => void (refusing = { count, retryAfterS }),
    get writes() {
      return writes;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
